import Testing
import Workloads

private let second: UInt64 = 1_000_000_000
private let header = "TIMESTAMP,ContextTokens,GeneratedTokens"

/// The plan of a file, or its error's text after the path.
private func read(_ text: String, limit: Int = .max) -> Result<RequestPlan, TraceError> {
  let file = TemporaryFile(text)
  do throws(TraceError) {
    return .success(try RequestPlan.trace(path: file.path, limit: limit))
  } catch {
    var error = error
    #expect(error.path == file.path)
    error.path = "t"
    return .failure(error)
  }
}

private func complaint(_ text: String) -> String? {
  if case .failure(let error) = read(text) { error.description } else { nil }
}

@Test("Mooncake lines become requests, counted from the first one's arrival")
func mooncake() throws {
  let plan = try read(
    """
    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
    {"hash_ids":[],"output_length":26,"input_length":6472,"timestamp":30535,"session_id":"a\\u00e9",\
    "delay":1.5e2,"extra":{"a":[true,false,null,-1]}}

    """
  ).get()
  #expect(plan.requests.map(\.arrivalNanoseconds) == [0, 3_053_000_000])
  #expect(plan.requests.map(\.inputTokens) == [6955, 6472])
  #expect(plan.requests.map(\.outputTokens) == [52, 26])
  #expect(plan.hashIDs(of: plan.requests[0]) == [46, 47])
  #expect(plan.hashIDs(of: plan.requests[1]) == [])
}

@Test("Azure's CSV is known by its header: CRLF, seven digits of a second, across midnight")
func azure() throws {
  let plan = try read(
    "\(header)\r\n"
      + "2023-11-16 23:59:59.9799600,4808,10\r\n"
      + "2023-11-17 00:00:00.0319600,3180,8\r\n"
      + "2024-02-29 12:00:00,1,1\r\n"
      + "2024-03-01 12:00:00.5+00:00,2,2"
  ).get()
  #expect(plan.requests[0].arrivalNanoseconds == 0)
  #expect(plan.requests[1].arrivalNanoseconds == 52_000_000)
  // From 2024-02-29 to 2024-03-01 is one day, because 2024 has a leap day.
  #expect(
    plan.requests[3].arrivalNanoseconds - plan.requests[2].arrivalNanoseconds
      == 86_400 * second + second / 2)
  #expect(plan.requests.map(\.inputTokens) == [4808, 3180, 1, 2])
  #expect(plan.requests.map(\.outputTokens) == [10, 8, 1, 2])
}

@Test("a limit reads no further: what is broken behind it is not seen")
func limit() throws {
  let plan = try read("\(header)\n2023-11-16 18:15:46.6805900,374,44\nbroken\n", limit: 1).get()
  #expect(plan.requests.count == 1)
}

private let good =
  "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": []}\n"

@Test(
  "a broken Mooncake line is named with its number and what was expected",
  arguments: [
    ("\n", "t:2: the line is empty; expected one request"),
    (
      "{\"timestamp\": 0, \"input_length\": 0, \"output_length\": 1}",
      "t:2: input_length is 0; expected 1 ... 10000000 tokens"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": -3}",
      "t:2: output_length is -3; expected a whole number from 0"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 99999999, \"output_length\": 1}",
      "t:2: input_length is 99999999; expected 1 ... 10000000 tokens"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 99999999999999999999, \"output_length\": 1}",
      "t:2: input_length is 99999999999999999999; expected a whole number from 0"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 1.5, \"output_length\": 1}",
      "t:2: input_length is 1.5; expected a whole number from 0"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": \"7\", \"output_length\": 1}",
      "t:2: '\"' at column 34 where input_length, a whole number was expected"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7}",
      "t:2: output_length is missing; expected tokens"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7, \"input_length\": 7, \"output_length\": 1}",
      "t:2: input_length stands twice"
    ),
    (
      "{\"timestamp\": -1, \"input_length\": 7, \"output_length\": 1}",
      "t:2: timestamp is -1; expected a number from 0"
    ),
    (
      "{\"timestamp\": 1e300, \"input_length\": 7, \"output_length\": 1}",
      "t:2: timestamp is 1e+300; expected at most 7258118400000 ms"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7, \"output_length\"",
      "t:2: the line ends at column 52 where ':' was expected"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7, \"output_length\": 1,}",
      "t:2: '}' at column 56 where a string was expected"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7, \"output_length\": 1} x",
      "t:2: 'x' at column 57 where the end of the line was expected"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 07, \"output_length\": 1}",
      "t:2: '0' at column 34 where input_length, a whole number, without leading zeros was expected"
    ),
    (
      "{\"timestamp\": 0, \"input_length\": 7, \"output_length\": 1, \"hash_ids\": [1, -2]}",
      "t:2: hash_ids is -2; expected a whole number from 0"
    ),
    ("2023-11-16 18:15:46.6805900,374,44", "t:2: '2' at column 1 where '{' was expected"),
  ])
func brokenMooncake(line: String, expected: String) {
  #expect(complaint(good + line + "\n" + good) == expected)
}

@Test("a value nested without end is refused, not recursed into")
func nesting() {
  let line = "{\"x\": " + String(repeating: "[", count: 100_000)
  #expect(complaint(good + line) == "t:2: values are nested deeper than 32")
}

@Test(
  "a broken Azure line is named with its number and what was expected",
  arguments: [
    ("", "t:3: the line is empty; expected one request"),
    ("2023-11-16 18:15:50.9951690,396", "t:3: 2 columns; expected 3: \(header)"),
    (
      "2023-11-16 18:15:50.9951690,-396,1",
      "t:3: ContextTokens is '-396'; expected 1 ... 10000000 tokens"
    ),
    (
      "2023-11-16 18:15:50.9951690,396,0",
      "t:3: GeneratedTokens is 0; expected 1 ... 10000000 tokens"
    ),
    (
      "2023-11-16 18:15:50.9951690,396,",
      "t:3: GeneratedTokens is ''; expected 1 ... 10000000 tokens"
    ),
    (
      "2023-02-29 18:15:50.9951690,396,1",
      "t:3: TIMESTAMP is '2023-02-29 18:15:50.9951690'; expected YYYY-MM-DD hh:mm:ss.fffffff"
    ),
    (
      "2023-11-16T18:15:50,396,1",
      "t:3: TIMESTAMP is '2023-11-16T18:15:50'; expected YYYY-MM-DD hh:mm:ss.fffffff"
    ),
    (
      "2023-11-16 18:15:50.,396,1",
      "t:3: TIMESTAMP is '2023-11-16 18:15:50.'; expected YYYY-MM-DD hh:mm:ss.fffffff"
    ),
    (
      "2023-11-16 18:15:45.9951690,396,1",
      "t:3: the request arrives before the one above it; expected ascending times"
    ),
  ])
func brokenAzure(line: String, expected: String) {
  let text = "\(header)\r\n2023-11-16 18:15:46.6805900,374,44\r\n\(line)\r\n"
  #expect(complaint(text) == expected)
}

@Test("a file that is no trace at all says so")
func noTrace() {
  #expect(complaint("")?.hasPrefix("t: the file is empty; expected Mooncake") == true)
  #expect(complaint("\n")?.hasPrefix("t:1: unknown format; expected Mooncake") == true)
  #expect(complaint("a,b,c\n")?.hasPrefix("t:1: unknown format; expected Mooncake") == true)
  #expect(complaint("\(header)\r\n") == "t: the trace has a header and no requests")
  #expect(throws: TraceError(path: "/nowhere/x", "cannot be opened: No such file or directory")) {
    try RequestPlan.trace(path: "/nowhere/x")
  }
}

@Test("lines longer than a block of the reader arrive whole")
func longLines() throws {
  let ids = (0..<40_000).map(String.init).joined(separator: ",")
  let line = "{\"timestamp\":0,\"input_length\":7,\"output_length\":1,\"hash_ids\":[\(ids)]}\n"
  let plan = try read(line + line).get()
  #expect(plan.requests.count == 2)
  #expect(plan.hashIDs(of: plan.requests[1]).elementsEqual(0..<40_000))
}

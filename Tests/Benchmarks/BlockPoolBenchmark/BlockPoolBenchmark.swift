@main
enum BlockPoolBenchmark {
  static func main() {}
}

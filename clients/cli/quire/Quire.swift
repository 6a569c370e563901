import QuireCLI

/// `quire`: looks at a server's pools. Everything is in `QuireCLI`, where tests see it.
@main
enum Quire {
  static func main() { QuireProgram.main() }
}

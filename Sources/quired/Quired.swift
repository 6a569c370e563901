@main
enum Quired {
  static func main() {}
}

@main
enum QuireLoad {
  static func main() {}
}

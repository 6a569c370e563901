/// The version of this program, said by `--version` and in the log.
package let quireVersion = "0.1.0"

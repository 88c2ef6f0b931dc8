// Package clients proves the Backup vault's server by the typed clients that people use: HashiCorp's SDK, which is what Terraform's
// provider calls, and Microsoft's.
package clients

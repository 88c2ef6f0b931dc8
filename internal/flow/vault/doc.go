// Package vault holds the use cases of the Backup vault's server: each reads, decides and writes in one transaction, its audit entry
// included.
package vault

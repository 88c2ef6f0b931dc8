// Package vault has the use cases of the Backup vault's server: each reads, decides and writes in one transaction, with its entry
// in the audit log.
package vault

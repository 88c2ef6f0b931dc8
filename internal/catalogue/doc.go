// Package catalogue names what the Backup vault's server knows: managed resources as clients of Azure Resource Manager (ARM)
// see them, recovery points, jobs, operations, the audit log; and the contract of the database that keeps them.
package catalogue

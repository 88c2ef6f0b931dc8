// Package arm serves the REST API of Azure Resource Manager (ARM) as far as the clients of AKS Backup use it.
package arm

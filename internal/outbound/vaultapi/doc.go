// Package vaultapi calls the server of Backup vaults as Azure's own clients do: by azcore's pipeline, pager and pollers.
package vaultapi

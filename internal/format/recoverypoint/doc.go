// Package recoverypoint says how a recovery point is laid out in a blob container.
//
// The layout is Velero's, so that a Velero reads it, with four blobs more:
//
//	backups/<name>/claim.json                   first: which run this name belongs to
//	backups/<name>/<name>.tar.gz                the objects (package archive)
//	backups/<name>/index.json.gz                where each object stands in the archive
//	backups/<name>/coverage.json.gz             what is in scope, captured or skipped, and why
//	backups/<name>/<name>-resource-list.json.gz
//	backups/<name>/<name>-volumeinfo.json.gz
//	backups/<name>/<name>-results.gz
//	backups/<name>/velero-backup.json           from here on, Velero sees it
//	backups/<name>/manifest.json                last: from here on, it is a recovery point
//
// Encrypted, all but the claim, the signature and the manifest have .age behind their names, and no Velero sees it.
package recoverypoint

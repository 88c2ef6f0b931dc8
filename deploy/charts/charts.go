// Package charts embeds the Helm charts into the programs that install them.
package charts

import "embed"

// Extension is the chart of the Backup extension, below ExtensionFolder.
//
//go:embed all:coffer-extension
var Extension embed.FS

// ExtensionFolder is the chart's folder in Extension.
const ExtensionFolder = "coffer-extension"

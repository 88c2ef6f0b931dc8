// Package coffer holds the nouns of the domain: what a recovery point, a volume or a blob container is to every
// other package.
//
// It also holds the contracts that the outer ring fulfils (Container, Cluster, Snapshots) and the one error type
// that crosses package boundaries.
package coffer

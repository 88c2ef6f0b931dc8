// Package e2e drives Coffer as its users do, on a lab cluster with real containers, volumes and snapshots.
//
// hack/e2e makes the cluster and names it in the environment. All of it is behind the tag e2e.
package e2e

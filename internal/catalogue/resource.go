package catalogue

import (
	"encoding/json"
	"time"
)

// Resource is a managed resource: a vault, a policy, a resource group, a cluster, a role assignment.
type Resource struct {
	ID ID
	// Version grows with each write, from 1. It is the ETag.
	Version int64
	// Body is the JSON object that the client sent, unknown fields and all: location, tags, identity, properties. What only the
	// server says is not in it.
	Body json.RawMessage
	// Facts is the JSON object of what the server adds when the resource is shown, merged over Body.
	Facts json.RawMessage
	// Links are the relations that are queried.
	Links []Link
	// Created and Changed are in UTC, to the microsecond.
	Created, Changed Stamp
}

// Stamp says who did something, and when.
type Stamp struct {
	By string
	At time.Time
}

// Link says that a resource refers to something.
type Link struct {
	// Relation is a word of this package.
	Relation string
	// Target is the Key of an ID, or another name in lower case.
	Target string
}

// The relations.
const (
	// LinkPolicy is from a backup instance to its policy.
	LinkPolicy = "policy"
	// LinkDatasource is from a backup instance to its cluster.
	LinkDatasource = "datasource"
	// LinkVault is from a trusted access binding to the vault that it admits.
	LinkVault = "vault"
	// LinkGuard is from what puts a vault under a resource guard to that guard.
	LinkGuard = "guard"
	// LinkPrincipal is from a role assignment to the principal.
	LinkPrincipal = "principal"
	// LinkClusterUID is from a cluster that has joined to the UID of its namespace kube-system, LinkJoinToken from a cluster to the id of
	// a join token, LinkReplica from a cluster to the replica of the server that holds its link, and LinkKubeconfig from a cluster that has
	// joined by a kubeconfig to the word "kept".
	LinkClusterUID = "clusterUid"
	LinkJoinToken  = "joinToken"
	LinkReplica    = "linkedBy"
	LinkKubeconfig = "kubeconfig"
	// LinkAwaited is from a cluster's extension to the word "cluster", as long as what its settings name is not known to be so there.
	LinkAwaited = "awaited"
)

// ResourceQuery selects resources, in the order of their Keys.
type ResourceQuery struct {
	// Type is a resource type, in any case; empty is all.
	Type string
	// Under is a scope: resources below it at any depth.
	Under ID
	// Linked, if it is set, selects what has this link.
	Linked *Link
	// Among, if it is not empty, selects what is there of some, up to 1,000.
	Among []ID
	// After is the Key of the last resource of the page before.
	After string
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// Condition says what a write expects to find. The zero value expects nothing.
type Condition struct {
	// New expects that there is no such resource, and Exists that there is one.
	New, Exists bool
	// Version, if it is not 0, expects this one, and Created, if it is not zero, one that was created then: one that is made anew
	// begins with version 1 again.
	Version int64
	Created time.Time
}

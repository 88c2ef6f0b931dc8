// Package test drives the built lab as its users do: real clusters, pods and volumes, crashes and wrong input.
//
// The tests need root, the lab's programs in COFFER_LAB_BIN, and the build tag lab:
//
//	COFFER_LAB_BIN=/path go test -tags lab ./test
//
// They use lab folders and cluster names of their own and leave the machine as it was.
package test

// Package test tries the lab's services with the clients that programs use, each directly and through the fault proxy.
//
// It runs with the build tag lab, and the lab's programs in the folder COFFER_LAB_BIN.
package test

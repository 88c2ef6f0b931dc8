package blobtest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// Service is the value of a variable that says where a test's server is. A missing one fails the test: whoever runs
// tests of real servers wants them run.
func Service(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set: start the servers with `build/bin/lab service up azurite s3 gcs` and name them with `eval \"$(build/bin/lab service env)\"`", variable)
	}
	return value
}

// NewName is a name for a new bucket.
func NewName() string { return "coffer-" + strings.ToLower(rand.Text()) }

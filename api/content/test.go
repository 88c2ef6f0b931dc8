package content

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// TestPattern is the path of the report of a restore test, as http.ServeMux reads it. Its parameter is that of Test.
const TestPattern = "/v1/storage-locations/{location}/backups/{name}/tests/{run}"

const paramEncrypted = "encrypted"

// Test asks for the report of a restore test.
type Test struct {
	StorageLocation, BackupName string
	// Run is the UID of the RestoreTest.
	Run string
	// Encrypted says that it is stored encrypted.
	Encrypted bool
}

// URL is the path and the query.
func (t Test) URL() *url.URL {
	path := func(escape func(string) string) string {
		return "/v1/storage-locations/" + escape(t.StorageLocation) + "/backups/" + escape(t.BackupName) + "/tests/" + escape(t.Run)
	}
	query := url.Values{}
	if t.Encrypted {
		query.Set(paramEncrypted, "true")
	}
	plain := func(s string) string { return s }
	return &url.URL{Path: path(plain), RawPath: path(url.PathEscape), RawQuery: query.Encode()}
}

// ReadTest reads what URL wrote, of a request that TestPattern has matched. Parameters that it does not know are errors.
func ReadTest(r *http.Request) (Test, error) {
	t := Test{StorageLocation: r.PathValue("location"), BackupName: r.PathValue("name"), Run: r.PathValue("run")}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return t, fmt.Errorf("the query is malformed: %w", err)
	}
	for name, values := range query {
		if name != paramEncrypted || len(values) != 1 {
			return t, fmt.Errorf("parameter %q is not known, or given more than once", name)
		}
		if t.Encrypted, err = strconv.ParseBool(values[0]); err != nil {
			return t, fmt.Errorf("parameter %s is %q: use true or false", name, values[0])
		}
	}
	return t, nil
}

// SignedReport is the one item of the answer: a report as it was signed, and its signature. Whoever reads it has to verify it.
type SignedReport struct {
	Report    []byte `json:"report"`
	Signature []byte `json:"signature"`
}

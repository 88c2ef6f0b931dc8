package arm

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

// maxBody is how large the body of a request may be, in bytes: as ARM's own.
const maxBody = 4 << 20

// versionForm is an api-version. Any is served: requests are the same between them.
var versionForm = regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d(-(preview|privatepreview|alpha|beta|rc))?$`)

// checkVersion refuses a request that does not say which version of the API it is for.
func checkVersion(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		// What cannot be read would be left out: a filter, or where a list goes on.
		return coffer.Errorf(coffer.CodeInvalidInput, "the query of the url cannot be read").WithHint("escape what stands in it, such as ; and %%")
	}
	switch versions := query["api-version"]; {
	case len(versions) == 0:
		return coffer.Errorf(coffer.CodeMissingAPIVersion, "the request has no query parameter api-version").WithHint("add ?api-version=2025-07-01")
	case len(versions) > 1 || !versionForm.MatchString(versions[0]):
		return coffer.Errorf(coffer.CodeInvalidAPIVersion, "the api-version %.40q is malformed", versions).WithHint("give one date, such as api-version=2025-07-01")
	}
	return nil
}

// readBody is the body of a request, or nil if it has none. It is JSON of a bounded size and depth.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, coffer.Errorf(coffer.CodeTooLarge, "the body is larger than %d MiB", maxBody>>20)
	}
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeInvalidContent, "the body did not arrive whole: %w", err)
	}
	if len(text) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, coffer.Errorf(coffer.CodeMediaType, "the body's Content-Type is %.60q", r.Header.Get("Content-Type")).WithHint("send application/json")
	}
	if err := bounded.JSON(text, bodyLimits); err != nil {
		return nil, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
	}
	return text, checkJSON(text)
}

// bodyLimits bound what decoding a body may cost.
var bodyLimits = bounded.JSONLimits{Depth: 64, Containers: 50_000, Values: 200_000}

// checkJSON refuses what is not one JSON document, and objects that name a field twice: readers would differ about what was meant.
func checkJSON(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	err := d.SkipValue()
	if err == nil {
		_, err = d.ReadToken()
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return coffer.Errorf(coffer.CodeInvalidContent, "the body is not one JSON document: another one begins after %d bytes", d.InputOffset()).WithHint("send one JSON object")
	}
	return coffer.Errorf(coffer.CodeInvalidContent, "the body is not one JSON document: %w", err)
}

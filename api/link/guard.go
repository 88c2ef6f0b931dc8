package link

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// MaxObject bounds the body of a request to an API server, in bytes: its own bound is about that.
const MaxObject = 3 << 20

var (
	// passedOn are the headers of a request that reach the API server or the reader. Whatever says who somebody is, is not among them.
	passedOn = []string{"Accept", "Content-Length", "Content-Type", "If-Match", "If-None-Match", "User-Agent"}
	// withheld are the headers of an answer that do not reach the vault.
	withheld = []string{"Audit-Id", "Authorization", "Set-Cookie", "Www-Authenticate"}
)

// PassedOn are the headers of a vault's request that reach the API server or the reader.
func PassedOn(header http.Header) http.Header {
	kept := http.Header{}
	for _, name := range passedOn {
		if values := header.Values(name); len(values) > 0 {
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

// Withhold takes the headers out of an answer that are not for vaults.
func Withhold(header http.Header) {
	for _, name := range withheld {
		header.Del(name)
	}
}

// reviews is where somebody asks what it may itself.
const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

// Useful says whether a vault has a use for a request to an API server. What it may is for that to say; others are not passed on, so that
// what can be tried is little.
func Useful(r *http.Request) bool {
	if !straight(r) {
		return false
	}
	p := r.URL.Path
	switch {
	case strings.HasPrefix(p, "/apis/"+v1alpha1.GroupVersion.Group+"/"):
		return slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, r.Method)
	case p == reviews:
		return r.Method == http.MethodPost
	}
	return r.Method == http.MethodGet && discovery(p)
}

// Readable says whether a request is one that the extension's reader has an answer to.
func Readable(r *http.Request) bool {
	return r.Header.Get("Upgrade") == "" && (r.Method == http.MethodGet || r.Method == http.MethodPost)
}

// straight says that a request is one, with a path that means the same to everybody, and that asks for no other protocol.
func straight(r *http.Request) bool {
	p := r.URL.Path
	return r.Header.Get("Upgrade") == "" && !strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Connection"), ",")), "upgrade") &&
		strings.HasPrefix(p, "/") && path.Clean(p) == strings.TrimSuffix(p, "/") && r.URL.EscapedPath() == p
}

// discovery says whether a path is of what is served, and in which version.
func discovery(p string) bool {
	words := strings.Split(strings.Trim(p, "/"), "/")
	switch words[0] {
	case "version":
		return len(words) == 1
	case "api":
		return len(words) <= 2
	case "apis":
		return len(words) <= 3
	case "openapi":
		return true
	}
	return false
}

// Clean is a text of a cluster on one line, with nothing that a terminal or a log would obey, of at most so many characters.
func Clean(text string, most int) string {
	var b strings.Builder
	for _, r := range text {
		if most == 0 {
			break
		}
		most--
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

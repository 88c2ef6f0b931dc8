// Package content is how the extension's reader is asked and how it answers: what is too large for custom resources.
//
// The answer to every request is lines of JSON, one Line each: items, and then either End or Error. An answer without one of
// these was cut off on its way. If there is an error before the first item, the status of the answer says so too.
package content

import (
	"encoding/json"
	"net/url"
)

// Port is where the reader listens, on the loopback interface of the extension's pod: who reaches it has the right to
// forward ports into that pod.
const Port = 8082

// MediaType of the answers.
const MediaType = "application/jsonl"

// ContentsPattern is the path of the contents of a recovery point, as http.ServeMux reads it. Its parameters are those of
// Contents.
const ContentsPattern = "/v1/storage-locations/{location}/backups/{name}/contents"

// Contents asks for what a recovery point holds.
type Contents struct {
	StorageLocation, BackupName string
	// Namespace, Type and Name select; empty is any. Type is spelled as in includedResourceTypes of a Backup.
	Namespace, Type, Name string
	// Objects asks for the objects themselves, and Secrets for the values of Secrets in them.
	Objects, Secrets bool
}

// The parameters of Contents.
const (
	paramNamespace = "namespace"
	paramType      = "type"
	paramName      = "name"
	paramObjects   = "objects"
)

// ParamSecrets asks for the values of Secrets, in Contents and Diff.
const ParamSecrets = "secrets"

// URL is the path and the query.
func (c Contents) URL() *url.URL {
	path := func(escape func(string) string) string {
		return "/v1/storage-locations/" + escape(c.StorageLocation) + "/backups/" + escape(c.BackupName) + "/contents"
	}
	query := url.Values{}
	for name, value := range map[string]string{paramNamespace: c.Namespace, paramType: c.Type, paramName: c.Name} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]bool{paramObjects: c.Objects, ParamSecrets: c.Secrets} {
		if value {
			query.Set(name, "true")
		}
	}
	plain := func(s string) string { return s }
	return &url.URL{Path: path(plain), RawPath: path(url.PathEscape), RawQuery: query.Encode()}
}

// Item is one object of a recovery point.
type Item struct {
	Group     string `json:"group,omitempty"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Size of its JSON in the archive, in bytes.
	Size int64 `json:"size"`
	// Object is its JSON, if objects were asked for; values of Secrets are masked unless they were asked for as well.
	Object json.RawMessage `json:"object,omitempty"`
}

// Line is one line of an answer; one of its fields is set.
type Line struct {
	Item  json.RawMessage `json:"item,omitempty"`
	End   *End            `json:"end,omitempty"`
	Error *Error          `json:"error,omitempty"`
}

// End says that the answer is complete.
type End struct {
	// Items is how many there were.
	Items int64 `json:"items"`
}

// Error says why there is no more.
type Error struct {
	// Code is one of those that runs fail with; empty for an internal error.
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Message
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	if e.Code != "" {
		text = e.Code + ": " + text
	}
	return text
}

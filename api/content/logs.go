package content

import (
	"fmt"
	"net/http"
	"net/url"
)

// LogsPattern is the path of the log of a run, as http.ServeMux reads it. Its parameters are those of Logs.
const LogsPattern = "/v1/logs/{kind}/{name}"

// The kinds of runs that have logs, as the paths name them.
const (
	LogsOfBackup       = "backups"
	LogsOfRestore      = "restores"
	LogsOfDeleteBackup = "deletebackups"
)

// Logs asks for what a run has logged. The answer's items are LogPieces.
type Logs struct {
	// Kind is one of the constants above.
	Kind string
	Name string
}

// URL is the path and the query.
func (l Logs) URL() *url.URL {
	return &url.URL{Path: "/v1/logs/" + l.Kind + "/" + l.Name, RawPath: "/v1/logs/" + url.PathEscape(l.Kind) + "/" + url.PathEscape(l.Name)}
}

// ReadLogs reads what URL wrote, of a request that LogsPattern has matched. It has no parameters.
func ReadLogs(r *http.Request) (Logs, error) {
	l := Logs{Kind: r.PathValue("kind"), Name: r.PathValue("name")}
	switch l.Kind {
	case LogsOfBackup, LogsOfRestore, LogsOfDeleteBackup:
		return l, readQuery(r, nil, nil)
	}
	return l, fmt.Errorf("there are no logs of %q: use %s, %s or %s", l.Kind, LogsOfBackup, LogsOfRestore, LogsOfDeleteBackup)
}

// LogPiece is a part of a log; all of them, one after the other, are the whole.
type LogPiece struct {
	Text string `json:"text"`
}

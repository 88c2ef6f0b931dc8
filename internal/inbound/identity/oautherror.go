package identity

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// oauthError is an error as OAuth's clients decode it.
type oauthError struct {
	status int
	// retryAfter, if it is not zero, says when to try again.
	retryAfter time.Duration
	// basic asks for other credentials in the header.
	basic bool

	Code        string `json:"error"`
	Description string `json:"error_description"`
	// Codes are numbers of Microsoft's; clients expect the field.
	Codes     []int  `json:"error_codes"`
	Timestamp string `json:"timestamp"`
}

func refuse(status int, code, description string) *oauthError {
	return &oauthError{status: status, Code: code, Description: description, Codes: []int{}}
}

// write answers with the error.
func (e *oauthError) write(w http.ResponseWriter, now time.Time) {
	e.Timestamp = now.UTC().Format("2006-01-02 15:04:05Z")
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	if e.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="coffer"`)
	}
	writeJSON(w, e.status, e)
}

// writeJSON answers with what no cache may keep.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// Who does not take the answer does not get it.
	_ = json.NewEncoder(w).Encode(body)
}

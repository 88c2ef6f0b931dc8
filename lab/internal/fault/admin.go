package fault

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// NewAdmin returns the API by which rules are set and counts are read:
//
//	PUT /rules        replaces all rules by those of the body, a JSON list of Rule
//	GET /rules        lists them, with how many requests each has matched and disturbed
//	DELETE /rules     removes them all
//	GET /requests     counts requests by store, method and outcome
//	DELETE /requests  begins to count anew
func NewAdmin(rules *Rules, requests *Requests) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /rules", func(w http.ResponseWriter, r *http.Request) {
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		var wanted []Rule
		err := decoder.Decode(&wanted)
		if err != nil {
			err = fmt.Errorf("the body is not a list of rules: %w", err)
		} else {
			err = rules.Set(wanted)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, rules.Counts()) })
	mux.HandleFunc("DELETE /rules", func(w http.ResponseWriter, _ *http.Request) {
		// No rule is always valid.
		_ = rules.Set(nil)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, requests.Counts()) })
	mux.HandleFunc("DELETE /requests", func(w http.ResponseWriter, _ *http.Request) {
		requests.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// A client that has gone needs no answer.
	_ = encoder.Encode(value)
}

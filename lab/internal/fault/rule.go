// Package fault is a proxy in front of a store that disturbs requests as it was told, and counts them.
//
// It is deterministic: a rule says which of the requests that it matches are disturbed, by their number. Only a rule
// that asks for a probability draws lots, and with the same seed the same ones.
package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Rule says which requests are disturbed, and how. Of several rules the first that matches and is not used up counts.
type Rule struct {
	// Store is the name of the store that the request is for; empty means any.
	Store string `json:"store,omitempty"`
	// Method is the request's method; empty means any.
	Method string `json:"method,omitempty"`
	// Path is a regular expression that is found in the path and query, as they are on the wire; empty means any.
	Path string `json:"path,omitempty"`
	// Skip is how many matching requests pass before the first is disturbed.
	Skip int `json:"skip,omitempty"`
	// Times is how many requests are disturbed before the rule is used up; zero means no end.
	Times int `json:"times,omitempty"`
	// Probability is how likely a matching request is disturbed; zero means always.
	Probability float64 `json:"probability,omitempty"`
	// Seed chooses the lots that Probability draws.
	Seed uint64 `json:"seed,omitempty"`
	// Fault is what happens.
	Fault Fault `json:"fault"`
}

// Fault is one disturbance: exactly one of its fields is set.
type Fault struct {
	// Status is an answer that the store itself never sees the request for.
	Status *Status `json:"status,omitempty"`
	// Abort ends the connection without an answer.
	Abort Abort `json:"abort,omitempty"`
	// TruncateResponse ends the connection after that many bytes of the response's body.
	TruncateResponse *int64 `json:"truncateResponse,omitempty"`
	// CutRequest ends both connections after that many bytes of the request's body have reached the store.
	CutRequest *int64 `json:"cutRequest,omitempty"`
	// Delay is how long the request waits before it reaches the store.
	Delay Duration `json:"delay,omitempty"`
	// Bandwidth is how many bytes a second pass, in each direction.
	Bandwidth int64 `json:"bandwidth,omitempty"`
	// SkewDate is added to the time that the store says it is.
	SkewDate Duration `json:"skewDate,omitempty"`
}

// Status is an HTTP answer.
type Status struct {
	Code int    `json:"code"`
	Body string `json:"body,omitempty"`
	// RetryAfter is the header of that name: seconds, or a date.
	RetryAfter string            `json:"retryAfter,omitempty"`
	Header     map[string]string `json:"header,omitempty"`
}

// Abort says when a connection is ended: before the request reaches the store, or after the store has done what it
// says and before the client learns of it.
type Abort string

// The values of Abort.
const (
	AbortBefore Abort = "before"
	AbortAfter  Abort = "after"
)

// Duration is a time.Duration that is written as in "1.5s".
type Duration time.Duration

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Outcome is what became of a request: how it was disturbed, passed, or unreachable.
type Outcome string

// The outcomes.
const (
	Passed           Outcome = "passed"
	Unreachable      Outcome = "unreachable"
	Answered         Outcome = "status"
	AbortedBefore    Outcome = "abort-before"
	AbortedAfter     Outcome = "abort-after"
	TruncatedAnswer  Outcome = "truncate-response"
	CutWhileUploaded Outcome = "cut-request"
	Delayed          Outcome = "delay"
	Limited          Outcome = "bandwidth"
	Skewed           Outcome = "skew-date"
)

// outcomes are those of the disturbances that are set.
func (f Fault) outcomes() []Outcome {
	var set []Outcome
	for _, one := range []struct {
		set     bool
		outcome Outcome
	}{
		{f.Status != nil, Answered},
		{f.Abort == AbortBefore, AbortedBefore},
		{f.Abort == AbortAfter, AbortedAfter},
		{f.TruncateResponse != nil, TruncatedAnswer},
		{f.CutRequest != nil, CutWhileUploaded},
		{f.Delay != 0, Delayed},
		{f.Bandwidth != 0, Limited},
		{f.SkewDate != 0, Skewed},
	} {
		if one.set {
			set = append(set, one.outcome)
		}
	}
	return set
}

// outcome is that of the fault, Passed if it is none.
func (f Fault) outcome() Outcome {
	if set := f.outcomes(); len(set) > 0 {
		return set[0]
	}
	return Passed
}

func (f Fault) validate() error {
	switch {
	case f.Abort != "" && f.Abort != AbortBefore && f.Abort != AbortAfter:
		return fmt.Errorf("abort is %q: use %q or %q", f.Abort, AbortBefore, AbortAfter)
	case f.Status != nil && (f.Status.Code < 200 || f.Status.Code > 599):
		return fmt.Errorf("status code %d is none: use 200 to 599", f.Status.Code)
	case f.TruncateResponse != nil && *f.TruncateResponse < 0, f.CutRequest != nil && *f.CutRequest < 0, f.Bandwidth < 0, f.Delay < 0:
		return errors.New("a number of bytes or a delay is negative")
	case len(f.outcomes()) != 1:
		return fmt.Errorf("a fault has exactly one of status, abort, truncateResponse, cutRequest, delay, bandwidth and skewDate, and this one has %d", len(f.outcomes()))
	}
	return nil
}

// Count is a rule and what it has done.
type Count struct {
	Rule
	// Matched is how many requests it applied to, Disturbed how many of them it disturbed.
	Matched   int `json:"matched"`
	Disturbed int `json:"disturbed"`
}

type activeRule struct {
	Count
	path *regexp.Regexp
	lots *rand.Rand
}

// Rules are the rules in force. The zero value has none. It may be used concurrently.
type Rules struct {
	mu    sync.Mutex // guards rules
	rules []*activeRule
}

// Set replaces all rules, or none of them if one is not valid.
func (r *Rules) Set(rules []Rule) error {
	active := make([]*activeRule, 0, len(rules))
	for i, rule := range rules {
		path, err := regexp.Compile(rule.Path)
		if err == nil {
			err = rule.Fault.validate()
		}
		switch {
		case err != nil:
		case rule.Skip < 0 || rule.Times < 0:
			err = errors.New("skip or times is negative")
		case rule.Probability < 0 || rule.Probability > 1:
			err = fmt.Errorf("probability %g is none: use 0 to 1", rule.Probability)
		}
		if err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		//nolint:gosec // Lots that can be drawn again are the point.
		lots := rand.New(rand.NewPCG(rule.Seed, 0))
		active = append(active, &activeRule{Count: Count{Rule: rule}, path: path, lots: lots})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = active
	return nil
}

// Counts lists the rules with what they have done.
func (r *Rules) Counts() []Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make([]Count, 0, len(r.rules))
	for _, rule := range r.rules {
		counts = append(counts, rule.Count)
	}
	return counts
}

// choose returns what shall happen to a request, and counts it.
func (r *Rules) choose(store string, request *http.Request) Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range r.rules {
		if rule.matches(store, request) && !rule.usedUp() {
			rule.Matched++
			if rule.disturbs() {
				rule.Disturbed++
				return rule.Fault
			}
		}
	}
	return Fault{}
}

func (r *activeRule) matches(store string, request *http.Request) bool {
	return (r.Store == "" || r.Store == store) &&
		(r.Method == "" || strings.EqualFold(r.Method, request.Method)) &&
		r.path.MatchString(request.URL.RequestURI())
}

func (r *activeRule) usedUp() bool { return r.Times > 0 && r.Disturbed >= r.Times }

// disturbs decides about the request that was counted last.
func (r *activeRule) disturbs() bool {
	if r.Matched <= r.Skip {
		return false
	}
	return r.Probability == 0 || r.lots.Float64() < r.Probability
}

package fault

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestARuleDisturbsTheRequestsItWasToldTo(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[
		{"store":"gcs","fault":{"status":{"code":500}}},
		{"method":"put","path":"/a$","skip":2,"times":3,"fault":{"status":{"code":503}}},
		{"path":"/[ab]$","skip":6,"fault":{"status":{"code":429}}}]`)
	var got []int
	for range 10 {
		response, _, err := s.do(t, http.MethodPut, s.url+"/a", "x")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, response.StatusCode)
	}
	// The second rule passes two and disturbs three; the third sees what the second leaves.
	if want := []int{200, 200, 503, 503, 503, 200, 200, 200, 200, 429}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	var counts []Count
	s.mustGet(t, "/rules", &counts)
	if len(counts) != 3 || counts[0].Matched != 0 || counts[1].Matched != 5 || counts[1].Disturbed != 3 || counts[2].Matched != 7 || counts[2].Disturbed != 1 {
		t.Errorf("counts %+v", counts)
	}
	var requests map[string]map[string]map[string]int
	s.mustGet(t, "/requests", &requests)
	if got := requests["s3"]["PUT"]; got["passed"] != 6 || got["status"] != 4 {
		t.Errorf("requests %v", requests)
	}
	for _, path := range []string{"/rules", "/requests"} {
		if _, _, err := s.do(t, http.MethodDelete, s.admin+path, ""); err != nil {
			t.Fatal(err)
		}
	}
	s.mustPass(t, http.MethodPut, "/a", "x")
	clear(requests)
	s.mustGet(t, "/requests", &requests)
	if got := requests["s3"]["PUT"]; got["passed"] != 1 || len(got) != 1 {
		t.Errorf("requests %v after they were forgotten", requests)
	}
}

func (s *setup) mustGet(t *testing.T, path string, into any) {
	t.Helper()
	_, said, err := s.do(t, http.MethodGet, s.admin+path, "")
	if err == nil {
		err = json.Unmarshal([]byte(said), into)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", path, err, said)
	}
}

func TestLotsAreTheSameWithTheSameSeed(t *testing.T) {
	draw := func(seed uint64) string {
		rules := &Rules{}
		if err := rules.Set([]Rule{{Probability: 0.3, Seed: seed, Fault: Fault{Abort: AbortBefore}}}); err != nil {
			t.Fatal(err)
		}
		var drawn strings.Builder
		for range 1000 {
			drawn.WriteString(string(rules.choose("s3", httptest.NewRequest(http.MethodGet, "/", http.NoBody)).outcome()) + " ")
		}
		return drawn.String()
	}
	first := draw(1)
	if first != draw(1) || first == draw(2) {
		t.Error("the seed does not decide")
	}
	if got := strings.Count(first, string(AbortedBefore)); got < 250 || got > 350 {
		t.Errorf("%d of 1000 were disturbed, want about 300", got)
	}
}

func TestARuleThatIsNotValidIsRefusedAndChangesNothing(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"fault":{"status":{"code":418}}}]`)
	for name, test := range map[string]struct{ rules, want string }{
		"not JSON":              {`nothing`, "not a list of rules"},
		"not a list":            {`{"fault":{"abort":"before"}}`, "not a list of rules"},
		"an unknown field":      {`[{"fault":{"abort":"before","when":"now"}}]`, "when"},
		"no fault":              {`[{"fault":{"abort":"before"}},{"method":"PUT"}]`, "rule 1"},
		"two faults":            {`[{"fault":{"abort":"before","delay":"1s"}}]`, "has 2"},
		"an unknown abort":      {`[{"fault":{"abort":"meanwhile"}}]`, `"meanwhile"`},
		"a status that is none": {`[{"fault":{"status":{"code":99}}}]`, "99"},
		"a negative number":     {`[{"fault":{"cutRequest":-1}}]`, "negative"},
		"a negative count":      {`[{"times":-1,"fault":{"abort":"before"}}]`, "negative"},
		"no probability":        {`[{"probability":1.5,"fault":{"abort":"before"}}]`, "1.5"},
		"a broken expression":   {`[{"path":"(","fault":{"abort":"before"}}]`, "rule 0"},
		"a broken duration":     {`[{"fault":{"delay":"soon"}}]`, "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			response, said, err := s.do(t, http.MethodPut, s.admin+"/rules", test.rules)
			if err != nil || response.StatusCode != http.StatusBadRequest || !strings.Contains(said, test.want) {
				t.Errorf("%v %v %q, want %q in it", err, response, said, test.want)
			}
		})
	}
	if response, _, err := s.do(t, http.MethodGet, s.url, ""); err != nil || response.StatusCode != http.StatusTeapot {
		t.Errorf("the earlier rule is gone: %v %v", err, response)
	}
}

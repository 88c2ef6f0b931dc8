package network

import (
	"strings"
	"testing"
)

func TestTheNameOfATableSaysWhatIsCut(t *testing.T) {
	for name, test := range map[string]struct {
		cut   Cut
		table string
	}{
		"two clusters":              {Cut{{Index: 12}, {Index: 3}}, "cut_12_from_3"},
		"a cluster and services":    {Cut{{Index: 250}, {Index: 1}}, "cut_1_from_250"},
		"a cluster and one service": {Cut{{Index: 1}, {Index: 250, Service: "s3", Ports: []int{10001}}}, "cut_1_from_250_s3"},
		"the host and one service":  {Cut{{Index: 251, Service: "gcs"}, {}}, "cut_0_from_251_gcs"},
	} {
		t.Run(name, func(t *testing.T) {
			turned := Cut{test.cut[1], test.cut[0]}
			if test.cut.table() != test.table || turned.table() != test.table {
				t.Errorf("tables %s and %s, want %s", test.cut.table(), turned.table(), test.table)
			}
			parsed, ok := parseTable(test.table)
			if !ok || parsed.table() != test.table {
				t.Errorf("read as %+v", parsed)
			}
		})
	}
	for _, foreign := range []string{"filter", "cut_", "cut_1_from_", "cut_a_from_b"} {
		if cut, ok := parseTable(foreign); ok {
			t.Errorf("%s was read as %+v", foreign, cut)
		}
	}
}

func TestRulesDropBothDirections(t *testing.T) {
	rules := strings.Join(switchRules(Cut{{Index: 1}, {Index: 250, Service: "fault", Ports: []int{7, 8}}}), "\n")
	want := `iifname { "c1", "c1n*" } oifname "s250" ether type ip tcp dport { 7, 8 } drop` + "\n" +
		`iifname "s250" oifname { "c1", "c1n*" } ether type ip tcp sport { 7, 8 } drop`
	if rules != want {
		t.Errorf("rules\n%s\nwant\n%s", rules, want)
	}
}

func TestPortsTellTheirIndex(t *testing.T) {
	for name, want := range map[string]int{"c1": 1, "c12n5": 12, "s250": 250, "br0": 0, "lo": 0, "c": 0, "cn2": 0} {
		if got := portIndex(name); got != want {
			t.Errorf("port %s has index %d, want %d", name, got, want)
		}
	}
}

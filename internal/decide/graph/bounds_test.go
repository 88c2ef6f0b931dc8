package graph

import (
	"strings"
	"testing"
)

func TestAQueryThatMakesTooMuchOfItsRowsIsRefused(t *testing.T) {
	row := []Row{{"a": strings.Repeat("x", 1000), "name": "n"}}
	for what, query := range map[string]string{
		"texts that grow":  "Resources" + strings.Repeat(" | extend a = strcat(a,a,a,a,a,a,a,a)", 12),
		"one that is long": "Resources" + strings.Repeat(" | extend a = strcat(a"+strings.Repeat(",a", 1000)+")", 3),
		"lists that grow":  "Resources" + " | extend a = split(a,'x') | extend a = tostring(a)" + strings.Repeat(" | extend a = tostring(split(a,','))", 20),
		"columns":          "Resources | extend " + strings.Repeat("b = strcat(a,a,a), a = b, ", 500) + "c = a",
	} {
		q, err := Parse(query)
		if err == nil {
			_, err = q.Run(row)
		}
		if err == nil {
			t.Errorf("%s are made", what)
		}
	}
	if _, err := Parse("Resources" + strings.Repeat(" | extend a = name", maxSteps+1)); err == nil {
		t.Error("a query may have any number of steps")
	}
}

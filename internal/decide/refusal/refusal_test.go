package refusal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestNothingIsNoError(t *testing.T) {
	var l List
	l.Add("a", nil)
	l.Form(nil)
	if err := l.Err("the policy"); err != nil {
		t.Error(err)
	}
}

func TestEveryProblemIsTold(t *testing.T) {
	var l List
	l.Form([]arm.Problem{{Path: "properties.name", Message: "is missing"}, {Message: "is empty"}})
	l.Addf("properties.days", "write 14", "is %d", 3)
	l.Addf("properties.hours", "write 14", "is %d", 4)
	l.Add("properties.zone", coffer.Errorf(coffer.CodeInvalid, "no zone").WithHint("write UTC"))
	l.Add("properties.other", errors.New("odd"))
	err := l.Err("the policy")
	want := "the policy is refused: properties.name is missing; is empty; properties.days is 3; properties.hours is 4; properties.zone no zone; properties.other odd; write 14; write UTC"
	if err.Error() != want || coffer.CodeOf(err) != coffer.CodeInvalidInput {
		t.Errorf("got %s %v", coffer.CodeOf(err), err)
	}
	fields := coffer.RefusedFields(err)
	if diff := cmp.Diff(coffer.RefusedField{Path: "properties.days", Reason: "is 3"}, fields[2]); diff != "" || len(fields) != 6 {
		t.Errorf("fields %v", fields)
	}
	if !l.Has("properties.days") || !l.Has("properties") || l.Has("properties.day") || l.Has("tags") {
		t.Error("Has does not go by whole names")
	}
}

func TestWhatIsToldIsBounded(t *testing.T) {
	var l List
	for i := range 10_000 {
		l.Addf(fmt.Sprintf("a[%d]", i), fmt.Sprintf("write %d", i), "is wrong")
	}
	err := l.Err("it")
	if len(err.Error()) > 1000 || len(coffer.RefusedFields(err)) != 50 || !strings.Contains(err.Error(), "and 9990 more") {
		t.Errorf("%d fields: %v", len(coffer.RefusedFields(err)), err)
	}
}

func TestASpecialCodeIsTheErrors(t *testing.T) {
	var l List
	l.Add("a", coffer.Errorf(coffer.CodeInvalidInput, "one"))
	l.Add("b", coffer.Errorf(coffer.CodeConflict, "two"))
	l.Add("c", coffer.Errorf(coffer.CodeInvalidInput, "three"))
	if code := coffer.CodeOf(l.Err("it")); code != coffer.CodeConflict {
		t.Errorf("code %s", code)
	}
}

func TestABodyThatCannotBeReadHasItsOwnCode(t *testing.T) {
	_, undecodable := arm.Decode[arm.PolicyResource]([]byte(`{"properties":7}`))
	err := Undecodable(undecodable)
	if coffer.CodeOf(err) != coffer.CodeInvalidContent || !strings.Contains(err.Error(), "properties is a number: expected an object") || coffer.RefusedFields(err)[0].Path != "properties" {
		t.Errorf("got %v", err)
	}
	if other := errors.New("other"); !errors.Is(Undecodable(other), other) || Undecodable(nil) != nil {
		t.Error("another error is changed")
	}
}

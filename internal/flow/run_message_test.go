package flow

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The API server takes 32768 bytes in a condition's message: a run that it cannot be told of never ends.
func TestALongErrorEndsARunToo(t *testing.T) {
	var status v1alpha1.RunStatus
	r := &record{
		now: time.Now, log: slog.New(slog.DiscardHandler), failpoint: func(context.Context, string) {},
		persist: func(context.Context) error { return nil }, status: &status,
	}
	long := coffer.Errorf(coffer.CodeInvalid, "there is no such namespace").WithHint("it has: %s", strings.Repeat("ä, ", 20_000))
	err := r.advance(t.Context(), []phase{{StepValidating, func(context.Context) error { return long }}},
		rollback{StepRollingBack, func(context.Context) error { return nil }}, cancellation{})
	if err != nil || status.Phase != v1alpha1.RunFailed {
		t.Fatalf("phase %s, %v", status.Phase, err)
	}
	for what, text := range map[string]string{"message": status.Message, "condition": status.Conditions[0].Message} {
		if len(text) > 10_000 || !utf8.ValidString(text) || !strings.HasPrefix(text, "there is no such namespace") {
			t.Errorf("the %s has %d bytes", what, len(text))
		}
	}
}

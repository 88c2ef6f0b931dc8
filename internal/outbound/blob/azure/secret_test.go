package azure

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestAStoreThatCannotBeReachedIsToldWithoutTheToken(t *testing.T) {
	c, err := Open(Config{
		Account: "acc", Container: "backups", Endpoint: "http://127.0.0.1:1", Credentials: Credentials{SASToken: "sv=1&sig=hunter2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Stat(t.Context(), "k")
	if err == nil || coffer.CodeOf(err) != "" || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Stat = %v, want a refused connection and no code", err)
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%q shows the token", err)
	}
}

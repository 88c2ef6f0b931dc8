package connector

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/quick"
	"testing/synctest"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
)

func TestConnectorsComeBackSpreadAndEverMoreSlowly(t *testing.T) {
	p := pause{time.Second, time.Minute, 5 * time.Minute}
	for _, c := range []struct {
		down   time.Duration
		final  bool
		random float64
		want   time.Duration
	}{
		{0, false, 0, 0},
		{0, false, 0.5, 500 * time.Millisecond},
		{8 * time.Second, false, 1, 8 * time.Second},
		{8 * time.Second, false, 0.25, 2 * time.Second},
		{time.Hour, false, 1, time.Minute},
		{0, true, 0, 150 * time.Second},
		{time.Hour, true, 1, 5 * time.Minute},
	} {
		if got := p.after(c.down, c.final, c.random); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	within := func(down uint32, final bool, random uint16) bool {
		d := p.after(time.Duration(down)*time.Millisecond, final, float64(random)/65536)
		return d >= 0 && (final && d >= p.final/2 && d <= p.final || !final && d <= p.longest)
	}
	if err := quick.Check(within, nil); err != nil {
		t.Error(err)
	}
}

func TestTheFirstLineOfAStreamIsReadAndNothingMore(t *testing.T) {
	const good = `{"kind":"content","identity":"vault-0123456789abcdef0123456789abcdef01234567"}`
	for _, c := range []struct{ name, sent, problem string }{
		{"a header", good + "\nrest", ""},
		{"one with spaces at its end", good + strings.Repeat(" ", wire.MaxHeader-len(good)-1) + "\nrest", ""},
		{"one that is longer than can be", good + strings.Repeat(" ", wire.MaxHeader) + "\n", "longer than 1024 bytes"},
		{"garbage without an end", strings.Repeat("\x00", 1<<20), "longer than 1024 bytes"},
		{"garbage", "GET / HTTP/1.1\n", "invalid character"},
		{"nothing", "\n", "unexpected end"},
		{"half of one", good, "EOF"},
		{"somebody who is no vault", strings.Replace(good, "vault-", "admin-", 1) + "\n", "not the identity of a vault"},
		{"a path behind the identity", strings.Replace(good, `567"`, `567:x"`, 1) + "\n", "not the identity of a vault"},
		{"no identity", `{"kind":"kubernetes"}` + "\n", "not the identity of a vault"},
		{"another kind", strings.Replace(good, "content", "shell", 1) + "\n", "no streams of kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() { _, _ = io.WriteString(far, c.sent); _ = far.Close() }()
			defer func() { _ = near.Close() }()
			h, err := readHeader(near)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("%+v, %v", h, err)
				}
				return
			}
			if err != nil || h.Kind != wire.Content {
				t.Fatalf("%+v, %v", h, err)
			}
			if rest, err := io.ReadAll(bufio.NewReader(near)); err != nil || string(rest) != "rest" {
				t.Errorf("after it there is %q, %v", rest, err)
			}
		})
	}
}

func TestAStreamThatDoesNotSayWhatItIsForIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		go func() { _, _ = io.WriteString(far, `{"kind":`) }()
		began := time.Now()
		_, err := readHeader(near)
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != headerTime {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

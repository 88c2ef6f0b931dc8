package identity

import (
	"fmt"
	"testing"
	"time"
)

func TestALimiterRemembersSoManyAndNoMore(t *testing.T) {
	l := newLimiter(limit{every: time.Minute, burst: 1})
	now := time.Unix(1000, 0)
	for i := range 3 * limited {
		if l.take(fmt.Sprint(i), now) > 0 {
			t.Fatalf("%d was limited by others", i)
		}
	}
	if len(l.entries) != limited || l.seen.Len() != limited {
		t.Errorf("%d and %d are remembered", len(l.entries), l.seen.Len())
	}
	last := fmt.Sprint(3*limited - 1)
	if l.take(last, now) == 0 {
		t.Error("the last one is forgotten")
	}
	if l.take(last, now.Add(time.Minute)) > 0 {
		t.Error("a minute later it is limited still")
	}
}

func TestAddressesOfOneNetworkAreOne(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "192.0.2.1": "192.0.2.1", "@": "@", "": "",
	} {
		if got := remoteKey(remote); got != want {
			t.Errorf("%s is %s", remote, got)
		}
	}
}

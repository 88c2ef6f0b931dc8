package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestZonesHaveTheirNamesOfIANAAndOfWindows(t *testing.T) {
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"": "UTC", "UTC": "UTC", "utc": "UTC", "Etc/UTC": "UTC", "Coordinated Universal Time": "UTC",
		"Europe/Berlin": "CEST", "W. Europe Standard Time": "CEST", "w. europe standard time": "CEST",
		"Eastern Standard Time": "EDT", "America/New_York": "EDT", "India Standard Time": "IST", "Asia/Kolkata": "IST",
		"Central Asia Standard Time": "+06", "Etc/GMT-5": "+05", "UTC-11": "-11", "UTC+12": "+12",
	} {
		zone, err := Zone(name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got, _ := at.In(zone).Zone(); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

func TestEveryNameOfWindowsIsAZone(t *testing.T) {
	if len(windowsZones) != 140 {
		t.Errorf("there are %d names", len(windowsZones))
	}
	for name := range windowsZones {
		if _, err := Zone(strings.ToUpper(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZonesThatAreNoneAreRefused(t *testing.T) {
	for _, name := range []string{"Local", "local", "LOCAL", "Europe/Nowhere", "Middle Earth Standard Time", "../../etc/passwd", "/etc/localtime", `..\x`, "Europe/../Europe/Berlin", "Europe//Berlin", "right/Europe/Berlin", "posix/Europe/Berlin", "posixrules", "localtime", "Factory", "zone.tab", "Europe", " UTC", "+01:00", "CET\x00", strings.Repeat("A", 1_000_000)} {
		_, err := Zone(name)
		if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), "write an IANA name") || len(err.Error()) > 500 {
			t.Errorf("%.50q: %v", name, err)
		}
	}
}

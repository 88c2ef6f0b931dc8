package schedule

import (
	"regexp"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// zoneForm is what the names of time zones look like: nothing that leads out of where they are kept.
var zoneForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// noZones are found like zones.
var noZones = map[string]bool{"local": true, "localtime": true, "factory": true}

// Zone finds a time zone by its IANA name (Europe/Berlin) or by Windows' (W. Europe Standard Time). No name is UTC.
func Zone(name string) (*time.Location, error) {
	const longest = 100
	if name == "" || strings.EqualFold(name, "UTC") {
		return time.UTC, nil
	}
	refuse := func() (*time.Location, error) {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "%s is not the name of a time zone", shown(name)).
			WithHint("write an IANA name such as Europe/Berlin, or a Windows name such as W. Europe Standard Time, or UTC")
	}
	iana := name
	if mapped, ok := windowsZones[strings.ToLower(name)]; ok && len(name) <= longest {
		iana = mapped
	}
	// Local and localtime are wherever the server happens to be; the others of these folders and files are no zones that people mean.
	if len(name) > longest || !zoneForm.MatchString(iana) || noZones[strings.ToLower(iana)] ||
		strings.HasPrefix(iana, "right/") || strings.HasPrefix(iana, "posix") {
		return refuse()
	}
	zone, err := time.LoadLocation(iana)
	if err != nil {
		return refuse()
	}
	return zone, nil
}

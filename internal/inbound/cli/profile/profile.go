// Package profile keeps which servers a person has logged in to, in files that nobody else can read.
package profile

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Profile is a login to a server, with what commands take if they are not told otherwise. A zero field is one that is not known.
type Profile struct {
	// Name is that of the file.
	Name string `json:"-"`
	URL  string `json:"url"`
	// CA is PEM with the authorities that the server's certificate may be of; empty is the machine's own.
	CA       string `json:"ca,omitempty"`
	TenantID string `json:"tenantId,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	// ClientSecret is empty where only a token is kept, and after a logout.
	ClientSecret string `json:"clientSecret,omitempty"`
	Token        *Token `json:"token,omitempty"`

	Defaults
}

// Token is what opens the server's API until it expires.
type Token struct {
	Text    string    `json:"text"`
	Expires time.Time `json:"expires"`
}

// Defaults are what commands take if they are not told otherwise.
type Defaults struct {
	SubscriptionID string `json:"subscriptionId,omitempty"`
	ResourceGroup  string `json:"resourceGroup,omitempty"`
	VaultName      string `json:"vaultName,omitempty"`
	Location       string `json:"location,omitempty"`
}

// LoggedIn says whether there is anything to prove with who one is.
func (p Profile) LoggedIn() bool { return p.ClientSecret != "" || p.Token != nil }

// Logout forgets what proves who one is.
func (p *Profile) Logout() { p.ClientSecret, p.Token = "", nil }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckName refuses what is no name of a profile.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a profile: use up to 63 letters, digits and . _ -, and begin with a letter or a digit", name)
	}
	return nil
}

// ErrNone is in the errors about profiles that are not there.
var ErrNone = errors.New("no such profile")

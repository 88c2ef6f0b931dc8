package link

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is what a cluster joins by. It is a secret until it was used.
type Token struct {
	// Address is the server's link address, HOST:PORT.
	Address string `json:"a"`
	// Authority is the SHA-256 of the DER of the server's certificate authority, in hexadecimal digits.
	Authority string `json:"f"`
	// Cluster is the id under which the cluster joins.
	Cluster string `json:"c"`
	Secret  string `json:"s"`
	// Expires is when it ends, in seconds since 1970.
	Expires int64 `json:"e"`
}

// tokenPrefix lets people and scanners for secrets see what it is.
const tokenPrefix = "coffer-join-"

// maxToken bounds a token's text: addresses and ids are shorter.
const maxToken = 8 << 10

// String is the token's text.
func (t Token) String() string {
	text, err := json.Marshal(t) //nolint:gosec // The secret is what a token is for.
	if err != nil {
		panic(err) // Only texts and a number are in it.
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// Expired says whether it has ended.
func (t Token) Expired(now time.Time) bool { return now.Unix() >= t.Expires }

// ParseToken reads what String wrote.
func ParseToken(text string) (Token, error) {
	var t Token
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok || len(text) > maxToken {
		return t, errors.New("it is not a join token: those begin with " + tokenPrefix)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(decoded, &t)
	}
	if err != nil {
		return t, fmt.Errorf("the join token is damaged: %w", err)
	}
	if t.Address == "" || t.Authority == "" || t.Cluster == "" || t.Secret == "" {
		return t, errors.New("the join token is not complete: copy it as a whole")
	}
	return t, nil
}

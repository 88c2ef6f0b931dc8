// Package credential decides what a service principal's client secret looks like, and whether one that is presented holds.
//
// A secret is made by the server from 256 random bits, never by a person. There is no dictionary to try and nothing to slow down, so
// what is kept is one SHA-256 of it: argon2id would protect nothing more, and would let anybody who may reach the token endpoint
// spend 64 MiB and a tenth of a second of the server with each request. The hash binds the client and is sealed besides, so that a
// copy of the database neither shows it nor can be used to give one client another's secret.
package credential

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// SealPurpose is what the hashes of the secrets of a service principal are sealed for.
func SealPurpose(owner catalogue.ID) string { return "client-secret " + owner.Key() }

// RandomSize is how many random bytes a secret is made of.
const RandomSize = idSize + secretSize

const (
	idSize     = 6
	secretSize = 32
	// prefix lets people, and scanners of repositories, see what it is.
	prefix = "cofs_"
)

// Text is a client secret. It prints as nothing that could be used: string(t) is the secret itself.
type Text string

// String hides it.
func (Text) String() string { return "[client secret]" }

// GoString hides it.
func (Text) GoString() string { return "[client secret]" }

// MarshalText hides it.
func (Text) MarshalText() ([]byte, error) { return []byte("[client secret]"), nil }

// Make makes a secret and its id, which is part of it and no secret.
func Make(random [RandomSize]byte) (id string, text Text) {
	id = hex.EncodeToString(random[:idSize])
	return id, Text(prefix + id + "_" + base64.RawURLEncoding.EncodeToString(random[idSize:]))
}

// ID is the id of a secret. What has not the form of a secret has none.
func ID(text Text) (id string, ok bool) {
	rest, found := strings.CutPrefix(string(text), prefix)
	id, secret, cut := strings.Cut(rest, "_")
	if !found || !cut || len(id) != hex.EncodedLen(idSize) || len(secret) != base64.RawURLEncoding.EncodedLen(secretSize) {
		return "", false
	}
	return id, true
}

// Hash is what is kept of a secret of the client with this id, in whatever case it is written.
func Hash(clientID string, text Text) []byte {
	sum := sha256.Sum256([]byte("coffer client secret\x00" + strings.ToLower(clientID) + "\x00" + string(text)))
	return sum[:]
}

// Holds says whether a secret is the one whose hash is kept, in a time that does not depend on where they differ.
func Holds(hash []byte, clientID string, text Text) bool {
	return subtle.ConstantTimeCompare(hash, Hash(clientID, text)) == 1
}

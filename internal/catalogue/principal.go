package catalogue

import "github.com/google/uuid"

// Principal is somebody who proved who they are.
type Principal struct {
	// ObjectID is what role assignments name.
	ObjectID string
	// Name is for people.
	Name string
	// AppID is the client id of a service principal, or of the application that a person used; it may be empty.
	AppID string
	// Tenant is the tenant of the token.
	Tenant string
	// Groups are object ids of groups.
	Groups []string
}

// MintObjectID makes the object id of an identity that this server creates: a service principal, or the identity of a vault.
// Such ids are UUIDs of version 8, which no other issuer's directory hands out: see Minted.
func MintObjectID(random [16]byte) string {
	random[6] = random[6]&0x0f | 0x80
	random[8] = random[8]&0x3f | 0x80
	return uuid.UUID(random).String()
}

// Minted says whether an object id has the form of those that this server mints. Nobody may come by one of them but with a token of
// this server: an OIDC issuer whose tokens carry one would hand out somebody else's roles.
func Minted(objectID string) bool {
	id, err := uuid.Parse(objectID)
	return err == nil && id.Version() == 8
}

// GUID says whether a text is a GUID as it is usually written: 36 characters, in any case.
func GUID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}

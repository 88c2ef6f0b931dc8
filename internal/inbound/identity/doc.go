// Package identity says who somebody is: it issues tokens to service principals, as Microsoft's login servers do, and verifies
// bearers, its own and those of OIDC issuers.
//
//	POST /{tenant}/oauth2/v2.0/token                        client credentials -> token       (also /adfs/oauth2/token)
//	GET  /{tenant}/v2.0/.well-known/openid-configuration    where that is                     (also /adfs/.well-known/...)
//	GET  /{tenant}/discovery/v2.0/keys                      the public keys
//
// A token is a JWT of one hour, signed with a key that lies sealed in the database, and shared by all replicas. It ends early with the
// service principal, or with the secret that it was got with: each request looks at both.
package identity

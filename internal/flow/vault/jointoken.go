package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// A join token is good for an hour; of a cluster, there are at most so many at a time.
const (
	joinTokenLife     = time.Hour
	joinTokensAtATime = 5
)

// The random parts of a token's secret: the id, by which it is found, and what nobody can guess.
const (
	joinIDSize     = 8
	joinSecretSize = 32
)

// joinPrefix is how the secrets of a cluster that are join tokens are named.
const joinPrefix = "joinToken/"

// joinTokenKept is what is kept of a join token, sealed.
type joinTokenKept struct {
	// Hash is the SHA-256 of the secret.
	Hash []byte `json:"hash"`
	// Key is the digest of the public key that it was used for, if it was.
	Key []byte `json:"key,omitempty"`
}

// JoinToken is a join token as it is shown, once.
type JoinToken struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	// Address is where the connector will dial.
	Address string `json:"address"`
	// Command gives the token to the connector in the cluster of a kubeconfig.
	Command string `json:"command"`
}

var hostForm = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$`)

// IssueToken makes a join token for a cluster that is there. server is the link address that it names, HOST:PORT; empty is the server's
// own. Where there are as many as may be, the one that ends first goes.
func (j *Joining) IssueToken(ctx context.Context, by Caller, cluster catalogue.ID, server string) (JoinToken, error) {
	address := cmp.Or(server, j.config.Address)
	if err := checkAddress(address, j.config.Hosts); err != nil {
		return JoinToken{}, err
	}
	var random [joinIDSize + joinSecretSize]byte
	if _, err := io.ReadFull(j.config.Random, random[:]); err != nil {
		return JoinToken{}, fmt.Errorf("make a join token: %w", err)
	}
	id := hex.EncodeToString(random[:joinIDSize])
	secret := id + "." + base64.RawURLEncoding.EncodeToString(random[joinIDSize:])
	sealed, err := j.seal(ctx, cluster, id, joinTokenKept{Hash: joinHash(secret)})
	if err != nil {
		return JoinToken{}, err
	}
	now, namespace := j.now(), ""
	expires := now.Add(joinTokenLife)
	err = j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, cluster)
		if err != nil {
			return err
		}
		f, err := ClusterFactsOf(r)
		if err != nil {
			return err
		}
		// Its id is spelled in the token as it was when it was made.
		cluster, namespace = r.ID, cmp.Or(f.Namespace, v1alpha1.DefaultNamespace)
		if r, err = dropTokens(ctx, tx, r, now, joinTokensAtATime-1); err != nil {
			return err
		}
		r.Links = append(r.Links, catalogue.Link{Relation: catalogue.LinkJoinToken, Target: id})
		if _, err := tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version}); err != nil {
			return err
		}
		if err := tx.PutSecret(ctx, catalogue.Secret{Owner: r.ID, Name: joinPrefix + id, Sealed: sealed, Expires: expires}); err != nil {
			return err
		}
		return tx.AppendAudit(ctx, by.entry(now, access.ActionJoinToken, r.ID, http.StatusOK))
	})
	if err != nil {
		return JoinToken{}, err
	}
	token := link.Token{Address: address, Authority: j.config.Authority.Digest(), Cluster: string(cluster), Secret: secret, Expires: expires.Unix()}
	return JoinToken{
		Token: token.String(), Expires: expires, Address: address,
		// It is no argument of a program: those are seen by everybody on the machine.
		Command: "printf %s " + token.String() + " | kubectl -n " + namespace + " create secret generic coffer-join --from-file=token=/dev/stdin",
	}, nil
}

// checkAddress refuses a link address that no connector could dial, or at which it would not know the server.
func checkAddress(address string, hosts []string) error {
	if address == "" {
		return coffer.Errorf(coffer.CodeInvalidInput, "this server has no address that clusters could join at").
			WithHint("start coffer-server with --link-listen, or name another server's link address as server: HOST:PORT")
	}
	host, port, err := net.SplitHostPort(address)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || number == 0 || !hostForm.MatchString(host) && net.ParseIP(host) == nil {
		return coffer.Errorf(coffer.CodeInvalidInput, "the link address %.200q is not HOST:PORT", address)
	}
	if err := certifiable(hosts).VerifyHostname(host); err != nil {
		return coffer.Errorf(coffer.CodeInvalidInput, "the server's certificate is not good for %s, so that no connector would trust it there", host).
			WithHint("start coffer-server with --hostname %s beside its other names, or name one of those", host)
	}
	return nil
}

// dropTokens is a cluster without those of its join tokens that have ended, and with at most so many others: those that end last.
func dropTokens(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, now time.Time, most int) (catalogue.Resource, error) {
	all, err := tx.Secrets(ctx, r.ID)
	if err != nil {
		return r, err
	}
	all = slices.DeleteFunc(all, func(s catalogue.Secret) bool { return !strings.HasPrefix(s.Name, joinPrefix) })
	slices.SortStableFunc(all, func(a, b catalogue.Secret) int { return b.Expires.Compare(a.Expires) })
	for i, s := range all {
		if i < most && now.Before(s.Expires) {
			continue
		}
		if err := tx.DeleteSecret(ctx, r.ID, s.Name); err != nil {
			return r, err
		}
		r = withoutLink(r, catalogue.Link{Relation: catalogue.LinkJoinToken, Target: strings.TrimPrefix(s.Name, joinPrefix)})
	}
	return r, nil
}

func withoutLink(r catalogue.Resource, gone catalogue.Link) catalogue.Resource {
	r.Links = slices.DeleteFunc(slices.Clone(r.Links), func(l catalogue.Link) bool { return l == gone })
	return r
}

func joinHash(secret string) []byte {
	sum := sha256.Sum256([]byte("coffer join token\x00" + secret))
	return sum[:]
}

func joinPurpose(cluster catalogue.ID, id string) string {
	return "join-token " + cluster.Key() + " " + id
}

func (j *Joining) seal(ctx context.Context, cluster catalogue.ID, id string, kept joinTokenKept) ([]byte, error) {
	sealed, err := j.config.Sealer.Seal(ctx, joinPurpose(cluster, id), facts(kept))
	if err != nil {
		return nil, fmt.Errorf("seal a join token: %w", err)
	}
	return sealed, nil
}

// presented is a join token that somebody has shown, and which holds.
type presented struct {
	cluster catalogue.ID
	secret  catalogue.Secret
	// used is the token as it is kept from now on: it has been used for the key of the one who showed it.
	used []byte
}

// errToken is all that somebody learns who shows a token that does not hold.
func errToken() error {
	return coffer.Errorf(coffer.CodeJoinRefused, "the join token is not known, or it has ended: it is good once, and for an hour").
		WithHint("let another one be made: coffer cluster join")
}

// present finds the token of a secret, and whether it holds for a public key: it was not used, or for this key, by a connector that died
// before it had kept its certificate.
func (j *Joining) present(ctx context.Context, secret string, key []byte) (presented, error) {
	id, _, ok := strings.Cut(secret, ".")
	if !ok || len(id) != hex.EncodedLen(joinIDSize) {
		return presented{}, errToken()
	}
	p, err := view(ctx, j.config.Database, func(ctx context.Context, v catalogue.View) (p presented, err error) {
		found, err := v.Resources(ctx, catalogue.ResourceQuery{Type: typeCluster, Linked: &catalogue.Link{Relation: catalogue.LinkJoinToken, Target: id}, Limit: 1})
		if err != nil || len(found) == 0 {
			return p, cmp.Or(err, errToken())
		}
		p.cluster = found[0].ID
		p.secret, err = tokenOf(ctx, v, p.cluster, id)
		return p, err
	})
	if err != nil {
		return p, err
	}
	text, err := j.config.Sealer.Open(ctx, joinPurpose(p.cluster, id), p.secret.Sealed)
	if err != nil {
		return p, fmt.Errorf("open a join token of %s: %w", p.cluster, err)
	}
	var kept joinTokenKept
	if err := json.Unmarshal(text, &kept); err != nil {
		return p, fmt.Errorf("read a join token of %s: %w", p.cluster, err)
	}
	switch {
	case subtle.ConstantTimeCompare(kept.Hash, joinHash(secret)) != 1, !j.now().Before(p.secret.Expires):
		return p, errToken()
	case kept.Key == nil:
		kept.Key = key
		p.used, err = j.seal(ctx, p.cluster, id, kept)
		return p, err
	case subtle.ConstantTimeCompare(kept.Key, key) != 1:
		j.config.Log.Warn("a join token was shown again with another key", "cluster", p.cluster)
		return p, coffer.Errorf(coffer.CodeJoinRefused, "the join token has been used already").WithHint("let another one be made: coffer cluster join")
	}
	return p, nil
}

// tokenOf is one join token of a cluster.
func tokenOf(ctx context.Context, v catalogue.View, cluster catalogue.ID, id string) (catalogue.Secret, error) {
	all, err := v.Secrets(ctx, cluster)
	if err != nil {
		return catalogue.Secret{}, err
	}
	for _, s := range all {
		if s.Name == joinPrefix+id {
			return s, nil
		}
	}
	return catalogue.Secret{}, errToken()
}

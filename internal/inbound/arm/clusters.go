package arm

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typeCluster = "Microsoft.ContainerService/managedClusters"
	typeBinding = typeCluster + "/trustedAccessRoleBindings"
)

// Links are the clusters that this replica of the server has a link to. They may be used concurrently.
type Links interface {
	catalogue.Clusters
	// Close ends the link of a cluster, if there is one.
	Close(cluster catalogue.ID)
}

// clusterRoutes are how clusters join and leave, and how they are asked whether a vault may act in them.
func (s *Server) clusterRoutes() []route {
	return []route{
		{method: http.MethodPost, kind: "Coffer.Backup/joinToken", on: onRest, below: []string{typeCluster}, action: access.ActionJoinToken, handle: s.joinToken},
		{method: http.MethodPost, kind: "Coffer.Backup/kubeconfig", on: onRest, below: []string{typeCluster}, action: access.ActionKubeconfig, handle: s.joinByKubeconfig},
		{method: http.MethodPost, kind: "Coffer.Backup/leave", on: onRest, below: []string{typeCluster}, action: access.ActionLeave, handle: s.leave},
		{method: http.MethodPost, kind: "Coffer.Backup/check", on: onRest, below: []string{typeBinding}, action: typeBinding + "/read", handle: s.checkBinding},
	}
}

type joinTokenRequest struct {
	// Server is the link address that the token names, if it is not this server's own.
	Server string `json:"server"`
}

// joinToken answers a join token, once.
func (s *Server) joinToken(ctx context.Context, r request) (answer, error) {
	var asked joinTokenRequest
	if len(r.body) > 0 {
		if err := json.Unmarshal(r.body, &asked); err != nil {
			return answer{}, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
		}
	}
	made, err := s.Joining.IssueToken(ctx, r.caller, r.target.ID, asked.Server)
	return answer{status: http.StatusOK, body: made}, err
}

// joinByKubeconfig has a cluster join that the server dials. The kubeconfig is not shown again.
func (s *Server) joinByKubeconfig(ctx context.Context, r request) (answer, error) {
	var asked vault.KubeconfigRequest
	if err := json.Unmarshal(r.body, &asked); err != nil {
		// Its message may have parts of the body in it, which is a secret.
		return answer{}, coffer.Errorf(coffer.CodeInvalidContent, `the body is not {"kubeconfig":"TEXT"}`)
	}
	joined, err := s.Joining.JoinByKubeconfig(ctx, r.caller, r.target.ID, asked)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, joined)
}

// leave ends the joining of a cluster. A link that another replica holds is ended by that one, in a quarter of a minute.
func (s *Server) leave(ctx context.Context, r request) (answer, error) {
	left, err := s.Joining.Leave(ctx, r.caller, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	s.Links.Close(left.ID)
	return shown(http.StatusOK, left)
}

// checkBinding asks the cluster.
func (s *Server) checkBinding(ctx context.Context, r request) (answer, error) {
	if a, passed, err := s.elsewhere(ctx, r, r.target.ID.Parent()); passed || err != nil {
		return a, err
	}
	checked, err := s.Consents.Check(ctx, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, checked)
}

// checkTime is how long a client waits for its cluster to be asked, wherever that is linked.
const checkTime = 20 * time.Second

// asked is a resource that was put, after its cluster was asked for what it has to say of it: a client that goes on to what needs it finds
// it so. What comes of that is no part of whether it was put.
func (s *Server) asked(ctx context.Context, r request, put catalogue.Resource) catalogue.Resource {
	if !strings.EqualFold(put.ID.Type(), typeBinding) {
		return put
	}
	s.ask(ctx, r, put.ID)
	now, err := s.Keeper.Get(ctx, put.ID)
	if err != nil {
		return put
	}
	return now
}

// approving handles a request that needs the trusted access of a vault: a cluster that had not approved it when it was asked last is asked
// once more. Whoever has just approved it there goes on here.
func (s *Server) approving(ctx context.Context, r request, handle func(ctx context.Context, r request) (answer, error)) (answer, error) {
	a, err := handle(ctx, r)
	unapproved, ok := errors.AsType[*vault.UnapprovedError](err)
	if !ok || !s.ask(ctx, r, unapproved.Binding) {
		return a, err
	}
	return handle(ctx, r)
}

// ask has the cluster of a binding asked, wherever it is linked, and says whether it has answered.
func (s *Server) ask(ctx context.Context, r request, binding catalogue.ID) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	check := r
	check.target = catalogue.Target{ID: binding, Rest: "Coffer.Backup/check"}
	check.body = nil
	check.http = r.http.Clone(ctx)
	check.http.Method, check.http.URL.Path, check.http.URL.RawPath = http.MethodPost, string(binding)+"/providers/Coffer.Backup/check", ""
	for _, condition := range []string{"If-Match", "If-None-Match"} {
		check.http.Header.Del(condition)
	}
	a, err := s.checkBinding(ctx, check)
	if err != nil {
		s.Log.Info("a cluster is not asked for its trusted access now", "binding", binding, "error", err)
	}
	return err == nil && a.status == http.StatusOK
}

// warning says what the deletion of a resource has left to do, in a header: there is no body.
func warning(deleted catalogue.ID) http.Header {
	if !strings.EqualFold(deleted.Type(), typeBinding) {
		return nil
	}
	return http.Header{"Warning": {`299 coffer "the vault can do nothing more in the cluster by this server; delete its RoleBinding in the cluster, too"`}}
}

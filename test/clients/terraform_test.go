package clients

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-04-01/roleassignments"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-05-01-preview/roledefinitions"
	"github.com/hashicorp/go-azure-sdk/resource-manager/containerservice/2025-10-01/trustedaccess"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupinstanceresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupinstances"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultoperationresults"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/kubernetesconfiguration/2024-11-01/extensions"
	"github.com/hashicorp/go-azure-sdk/resource-manager/resources/2023-07-01/resourcegroups"
	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/client"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

// terraform are the clients of one run of Terraform: made as the provider makes them, of the api-versions that it uses.
type terraform struct {
	t *testing.T
	// ctx ends before the test does: the SDK insists on a deadline.
	ctx         context.Context
	environment *environments.Environment
	authorizer  auth.Authorizer

	groups        *resourcegroups.ResourceGroupsClient
	vaults        *backupvaultresources.BackupVaultResourcesClient
	vaultsInGroup *backupvaultoperationresults.BackupVaultOperationResultsClient
	policies      *basebackuppolicyresources.BaseBackupPolicyResourcesClient
	instances     *backupinstanceresources.BackupInstanceResourcesClient
	instanceLists *backupinstances.BackupInstancesClient
	bindings      *trustedaccess.TrustedAccessClient
	extensions    *extensions.ExtensionsClient
	definitions   *roledefinitions.RoleDefinitionsClient
	assignments   *roleassignments.RoleAssignmentsClient

	mu   sync.Mutex // guards seen
	seen []exchange
}

// exchange is one request with its answer.
type exchange struct {
	method, path string
	status       int
	header       http.Header
}

// administrator is the login that tests share, for the server limits how many there may be at once.
var administrator struct {
	mu         sync.Mutex // guards all below
	authorizer auth.Authorizer
	credential azcore.TokenCredential
}

// newTerraform logs in as the administrator.
func newTerraform(t *testing.T) *terraform {
	t.Helper()
	tf := newRun(t)
	administrator.mu.Lock()
	defer administrator.mu.Unlock()
	if administrator.authorizer == nil {
		administrator.authorizer = tf.login(tf.environment.ResourceManager, server.ClientID, server.ClientSecret)
	}
	tf.authorizer = administrator.authorizer
	return tf.connect()
}

// newTerraformAs logs in with a client secret.
func newTerraformAs(t *testing.T, clientID, secret string) *terraform {
	t.Helper()
	tf := newRun(t)
	tf.authorizer = tf.login(tf.environment.ResourceManager, clientID, secret)
	return tf.connect()
}

// newRun makes the environment of what /metadata/endpoints says.
func newRun(t *testing.T) *terraform {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	environment, err := environments.FromEndpoint(ctx, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &terraform{t: t, ctx: ctx, environment: environment}
}

// login makes what gets tokens for an API, as the provider makes it.
func (tf *terraform) login(api environments.Api, clientID, secret string) auth.Authorizer {
	tf.t.Helper()
	authorizer, err := auth.NewAuthorizerFromCredentials(tf.ctx, auth.Credentials{
		Environment: *tf.environment, TenantID: server.TenantID, ClientID: clientID, ClientSecret: secret,
		EnableAuthenticatingUsingClientSecret: true,
	}, api)
	if err != nil {
		tf.t.Fatalf("%s: %v", api.Name(), err)
	}
	return authorizer
}

// connect makes all clients.
func (tf *terraform) connect() *terraform {
	tf.t.Helper()
	api := tf.environment.ResourceManager
	tf.groups = ready(tf, resourcegroups.NewResourceGroupsClientWithBaseURI, func(c *resourcegroups.ResourceGroupsClient) *resourcemanager.Client { return c.Client }, api)
	tf.vaults = ready(tf, backupvaultresources.NewBackupVaultResourcesClientWithBaseURI, func(c *backupvaultresources.BackupVaultResourcesClient) *resourcemanager.Client { return c.Client }, api)
	tf.vaultsInGroup = ready(tf, backupvaultoperationresults.NewBackupVaultOperationResultsClientWithBaseURI, func(c *backupvaultoperationresults.BackupVaultOperationResultsClient) *resourcemanager.Client {
		return c.Client
	}, api)
	tf.policies = ready(tf, basebackuppolicyresources.NewBaseBackupPolicyResourcesClientWithBaseURI, func(c *basebackuppolicyresources.BaseBackupPolicyResourcesClient) *resourcemanager.Client {
		return c.Client
	}, api)
	tf.instances = ready(tf, backupinstanceresources.NewBackupInstanceResourcesClientWithBaseURI, func(c *backupinstanceresources.BackupInstanceResourcesClient) *resourcemanager.Client {
		return c.Client
	}, api)
	tf.instanceLists = ready(tf, backupinstances.NewBackupInstancesClientWithBaseURI, func(c *backupinstances.BackupInstancesClient) *resourcemanager.Client { return c.Client }, api)
	tf.bindings = ready(tf, trustedaccess.NewTrustedAccessClientWithBaseURI, func(c *trustedaccess.TrustedAccessClient) *resourcemanager.Client { return c.Client }, api)
	tf.extensions = ready(tf, extensions.NewExtensionsClientWithBaseURI, func(c *extensions.ExtensionsClient) *resourcemanager.Client { return c.Client }, api)
	tf.definitions = ready(tf, roledefinitions.NewRoleDefinitionsClientWithBaseURI, func(c *roledefinitions.RoleDefinitionsClient) *resourcemanager.Client { return c.Client }, api)
	tf.assignments = ready(tf, roleassignments.NewRoleAssignmentsClientWithBaseURI, func(c *roleassignments.RoleAssignmentsClient) *resourcemanager.Client { return c.Client }, api)
	return tf
}

// ready makes a typed client, which authorizes its requests and records what comes of them.
func ready[C any](tf *terraform, construct func(environments.Api) (*C, error), base func(*C) *resourcemanager.Client, api environments.Api) *C {
	tf.t.Helper()
	made, err := construct(api)
	if err != nil {
		tf.t.Fatal(err)
	}
	c := base(made)
	c.SetAuthorizer(tf.authorizer)
	c.AppendResponseMiddleware(tf.record)
	return made
}

// record notes an exchange. Of what was deleted the SDK asks at once, and not after ten seconds: how often it asks is not what is
// tested.
func (tf *terraform) record(request *http.Request, response *http.Response) (*http.Response, error) {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	tf.seen = append(tf.seen, exchange{request.Method, request.URL.Path, response.StatusCode, response.Header.Clone()})
	if request.Method == http.MethodDelete {
		response.Header.Set(client.SkipPollingDelayHeader, "true")
	}
	return response, nil
}

// exchanges are those since the last call.
func (tf *terraform) exchanges() []exchange {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	seen := slices.Clone(tf.seen)
	tf.seen = nil
	return seen
}

// newGroup makes a resource group of the test's own.
func (tf *terraform) newGroup() commonids.ResourceGroupId {
	tf.t.Helper()
	id := commonids.NewResourceGroupID(server.SubscriptionID, newName("rg"))
	if _, err := tf.groups.CreateOrUpdate(tf.ctx, id, resourcegroups.ResourceGroup{Location: "westeurope"}); err != nil {
		tf.t.Fatal(err)
	}
	tf.exchanges()
	return id
}

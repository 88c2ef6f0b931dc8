package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
	"github.com/coffer-backup/coffer/test/interop"
)

// Of the api-page rows: how many pages are asked for of each kind, and how the instances are spread.
const (
	apiPages  = 2000
	apiVaults = 10
	apiListen = "127.0.0.1:28443"
)

// apiPage measures how long a client waits for a page of 100 backup instances or recovery points, in 99 of 100 times, of a server that
// has so many, on SQLite and on PostgreSQL; and the memory of that server.
func apiPage(ctx context.Context, instances, points int) ([]row, error) {
	program, shared := os.Getenv("COFFER_BENCH_SERVER"), os.Getenv("COFFER_SERVICE_POSTGRES")
	if program == "" || shared == "" {
		return nil, errors.New("COFFER_BENCH_SERVER names no server, or there is no PostgreSQL: run hack/bench")
	}
	var rows []row
	for name, database := range map[string]string{"sqlite": "", "postgres": shared} {
		made, err := apiPageOf(ctx, program, name, database, instances, points)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rows = append(rows, made...)
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	return rows, nil
}

func apiPageOf(ctx context.Context, program, name, database string, instances, points int) ([]row, error) {
	folder, err := os.MkdirTemp("", "coffer-bench-server-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	args := []string{"--data-dir", folder, "--listen", apiListen, "--status-listen", "", "--link-listen", "", "--log-level", "error"}
	if database != "" {
		key := filepath.Join(folder, "encryption.key")
		if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--database", database, "--encryption-key", key)
	}
	// It makes its tenant and its administrator.
	c, err := startServer(ctx, program, folder, args)
	if err != nil {
		return nil, err
	}
	c.stop()
	say("api-page: filling %s with %d instances and %d recovery points", name, instances, points)
	if err := fillCatalogue(ctx, folder, database, c.subscription, instances, points); err != nil {
		return nil, err
	}
	if c, err = startServer(ctx, program, folder, args); err != nil {
		return nil, err
	}
	defer c.stop()
	listed, err := c.timePages(ctx, instances, func(vault, _ int) string { return vaultOf(c.subscription, vault) + "/backupInstances" })
	if err != nil {
		return nil, err
	}
	pointed, err := c.timePages(ctx, instances, func(vault, instance int) string {
		return instanceOf(c.subscription, vault, instance) + "/recoveryPoints"
	})
	if err != nil {
		return nil, err
	}
	peak, err := interop.Peak(c.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("p99 of %d pages of 100 in %s with %d instances and %d recovery points: ", apiPages, name, instances, points)
	return []row{
		newRow("api-page-"+name+"-instances", []float64{listed}, []float64{20}, "ms", "<= 1.0", what+"instances of a vault"),
		newRow("api-page-"+name+"-points", []float64{pointed}, []float64{20}, "ms", "<= 1.0", what+"recovery points of an instance"),
		newRow("api-page-"+name+"-memory", []float64{float64(peak) / mebi}, []float64{float64(peak) / mebi}, "MiB", "reported", "peak resident memory of the server"),
	}, nil
}

func vaultOf(subscription string, n int) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/bench/providers/Microsoft.DataProtection/backupVaults/v%d", subscription, n)
}

func instanceOf(subscription string, vault, n int) string {
	return fmt.Sprintf("%s/backupInstances/cluster-%05d", vaultOf(subscription, vault), n)
}

// fillCatalogue writes what a server would have after years.
func fillCatalogue(ctx context.Context, folder, database, subscription string, instances, points int) error {
	var db *metadb.Database
	var err error
	if database == "" {
		db, err = metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(folder, "coffer.db")})
	} else {
		db, err = metadb.OpenPostgres(ctx, metadb.Postgres{URL: database})
	}
	if err != nil {
		return err
	}
	began := time.Now().UTC().Truncate(time.Microsecond)
	stamp := catalogue.Stamp{By: "bench", At: began}
	put := func(tx catalogue.Tx, id, body string) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: catalogue.ID(id), Body: json.RawMessage(body), Created: stamp, Changed: stamp}, catalogue.Condition{})
		return err
	}
	err = db.Update(ctx, func(_ context.Context, tx catalogue.Tx) error {
		err := put(tx, "/subscriptions/"+subscription+"/resourceGroups/bench", `{"location":"here"}`)
		for v := range apiVaults {
			err = errors.Join(err, put(tx, vaultOf(subscription, v), `{"location":"here","properties":{"storageSettings":[]}}`))
		}
		return err
	})
	const batch = 100
	for first := 0; first < instances && err == nil; first += batch {
		err = db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
			for n := first; n < min(first+batch, instances); n++ {
				id := instanceOf(subscription, n%apiVaults, n)
				if err := errors.Join(put(tx, id, instanceBody), putPoints(ctx, tx, catalogue.ID(id), points/instances, began)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(err, db.Close())
}

// instanceBody is as large as one that Terraform sends.
var instanceBody = `{"properties":{"objectType":"BackupInstance","friendlyName":"aks1/app","policyInfo":{"policyParameters":{"backupDatasourceParametersList":[{"includedNamespaces":["` +
	strings.Repeat("a", 900) + `"]}]}}}}`

func putPoints(ctx context.Context, tx catalogue.Tx, instance catalogue.ID, n int, last time.Time) error {
	for i := range n {
		err := tx.PutPoint(ctx, catalogue.Point{
			Instance: instance, Name: fmt.Sprintf("%032x", rand.Uint64()), Time: last.Add(-time.Duration(i) * 4 * time.Hour), Good: true, //nolint:gosec // No secret.
			Body: json.RawMessage(`{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointType":"Incremental","recoveryPointDataStoresDetails":[{"type":"OperationalStore","visible":true}],"policyName":"p1","recoveryPointState":"Completed"}`),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// apiClient is a client of a server that runs.
type apiClient struct {
	process      *exec.Cmd
	client       *http.Client
	subscription string
	token        string
}

func startServer(ctx context.Context, program, folder string, args []string) (*apiClient, error) {
	c := &apiClient{process: exec.CommandContext(ctx, program, args...)} //nolint:gosec // The program that was just built.
	c.process.Stderr = os.Stderr
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	var last error
	err := await(ctx, time.Minute, "the server answers", func(ctx context.Context) (bool, error) {
		last = c.login(ctx, folder)
		return last == nil, nil
	})
	if err != nil {
		c.stop()
		return nil, errors.Join(err, last)
	}
	return c, nil
}

func (c *apiClient) stop() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

func (c *apiClient) login(ctx context.Context, folder string) error {
	var admin struct{ URL, CAFile, TenantID, SubscriptionID, ClientID, ClientSecret string }
	text, err := os.ReadFile(filepath.Join(folder, "admin.json")) //nolint:gosec // Our own folder.
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &admin); err != nil {
		return err
	}
	authority, err := os.ReadFile(admin.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	c.subscription = admin.SubscriptionID
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {admin.ClientID}, "client_secret": {admin.ClientSecret}}
	body, err := c.do(ctx, http.MethodPost, "/"+admin.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal(body, &got)
	c.token = got.AccessToken
	return err
}

func (c *apiClient) do(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+apiListen+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	return text, err
}

// timePages asks for pages of random collections one after another, and of each half the times for the page after it too; it answers
// the time of the slowest but one in a hundred, in milliseconds.
func (c *apiClient) timePages(ctx context.Context, instances int, path func(vault, instance int) string) (float64, error) {
	var took []float64
	next := ""
	for len(took) < apiPages {
		asked := next
		if asked == "" {
			n := rand.IntN(instances) //nolint:gosec // Any will do.
			asked = path(n%apiVaults, n) + "?api-version=2025-07-01&$top=100"
		}
		began := time.Now()
		text, err := c.do(ctx, http.MethodGet, asked, nil)
		if err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		var page struct {
			Value    []json.RawMessage `json:"value"`
			NextLink string            `json:"nextLink"`
		}
		if err := json.Unmarshal(text, &page); err != nil || len(page.Value) == 0 {
			return 0, fmt.Errorf("a page of %d: %w", len(page.Value), err)
		}
		next = ""
		if page.NextLink != "" && len(took)%4 != 0 {
			next = strings.TrimPrefix(page.NextLink, "https://"+apiListen)
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100], nil
}

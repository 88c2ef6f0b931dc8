//go:build lab

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// TestSanity runs the CSI sanity suite against the driver in each of the ways the lab uses it.
func TestSanity(t *testing.T) {
	var contexts []*sanity.TestContext
	for _, setup := range []struct {
		name, access string
		args         []string
	}{
		{name: "filesystem volumes with snapshots", access: "mount"},
		{name: "block volumes with snapshots", access: "block"},
		{name: "filesystem volumes without snapshots", access: "mount", args: []string{"--no-snapshots"}},
	} {
		dir := newDir(t)
		driver := startDriver(t, dir, setup.args...)
		config := sanity.NewTestConfig()
		config.Address = "unix://" + driver.socket()
		config.TargetPath = filepath.Join(dir, "target")
		config.StagingPath = filepath.Join(dir, "staging")
		config.TestVolumeSize = gibibyte
		config.TestVolumeAccessType = setup.access
		ginkgo.Describe(setup.name, func() {
			contexts = append(contexts, sanity.GinkgoTest(&config))
		})
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	reporter.NoColor = os.Getenv("NO_COLOR") != "" || reporter.NoColor
	ginkgo.RunSpecs(t, "CSI sanity", suite, reporter)
	for _, context := range contexts {
		context.Finalize()
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tributary/destinations/catalog"
	"tributary/internal/config"
	"tributary/mappings"
	"tributary/mappings/cases"
)

func mappingCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "mapping", Short: "Check, test and explain the mapping"}
	print := &cobra.Command{
		Use: "default", Short: "Print the shipped default mapping", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(mappings.Default().Text)
			return err
		},
	}
	c.AddCommand(
		print, mappingSchemaCommand(), mappingCheckCommand(o), mappingTestCommand(o), mappingExplainCommand(o),
		mappingLiveCommand(o), mappingReloadCommand(o), mappingDiffCommand(o), mappingCoverageCommand(o),
	)
	return c
}

// A workbench is a mapping's files with the configuration that they are held against.
type workbench struct {
	cfg        config.Config
	configured bool // there is a configuration
	files      []mappings.File
}

// openBench reads the files that a command names, else those of the configuration, else the
// shipped default. without says that there need be no configuration; where there is one, it
// is read.
func openBench(c *cobra.Command, o *options, paths []string, without bool) (workbench, error) {
	var b workbench
	_, err := os.Stat(o.config)
	if err == nil || c.Flags().Changed("config") || !without {
		cfg, err := config.Load(o.config, catalog.Kinds())
		if err != nil {
			return b, wrong(err)
		}
		b.cfg, b.configured = cfg, true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return b, wrong(err)
	}
	if len(paths) == 0 {
		paths = b.cfg.Mapping
	}
	b.files, err = readMapping(paths)
	return b, err
}

// readMapping reads mapping files and what they include; none: the shipped default.
func readMapping(paths []string) ([]mappings.File, error) {
	if len(paths) == 0 {
		return []mappings.File{mappings.Default()}, nil
	}
	files, err := mappings.Read(paths, os.ReadFile, os.LookupEnv)
	if errors.Is(err, syscall.EISDIR) {
		return nil, wrong(fmt.Errorf("read mapping: %w: name the files in it", err))
	}
	if err != nil {
		return nil, wrong(fmt.Errorf("read mapping: %w (tributary init writes one)", err))
	}
	return files, nil
}

// compile compiles the files; problems are those that keep it from being used.
func (b workbench) compile() (*mappings.Mapping, []mappings.Problem) {
	if !b.configured {
		return mappings.Compile(b.files...)
	}
	return compileMapping(b.cfg, b.files)
}

// divided tells mapping files from files of cases by their names.
func divided(args []string) (mapping, tests []string) {
	for _, a := range args {
		if strings.HasSuffix(a, cases.Suffix) {
			tests = append(tests, a)
		} else {
			mapping = append(mapping, a)
		}
	}
	return mapping, tests
}

// besides lists the files of cases in the folders of mapping files.
func besides(paths []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, path := range paths {
		dir := filepath.Dir(path)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		found, err := filepath.Glob(filepath.Join(dir, "*"+cases.Suffix))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

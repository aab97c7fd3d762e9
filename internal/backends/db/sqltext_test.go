package dbbackend_test

import (
	"strings"
	"testing"
	"time"

	dbbackend "gotimeout/internal/backends/db"
)

func TestParseStatement(t *testing.T) {
	type parsed struct {
		text, run string
		limit     time.Duration
	}
	for sql, want := range map[string]parsed{
		"":                                        {},
		" select\n\t1 ; ;":                        {text: "select 1"},
		"SELECT/**/1":                             {text: "SELECT 1"},
		"SELECT 1 -- one":                         {text: "SELECT 1"},
		"SELECT 1 # one\n+ 1":                     {text: "SELECT 1 + 1"},
		"SELECT 2--1":                             {text: "SELECT 2--1"},
		"SELECT '/* gotimeout run=7":              {text: "SELECT '/* gotimeout run=7"},
		`SELECT 'it\'s -- ''x'`:                   {text: `SELECT 'it\'s -- ''x'`},
		"/* gotimeout run=7 */ SELECT 1":          {text: "SELECT 1", run: "7"},
		"SELECT 1 /*gotimeout run=a-b_7*/":        {text: "SELECT 1", run: "a-b_7"},
		"SELECT 1 /* gotimeout run=":              {text: "SELECT 1"},
		"SELECT /*+ MAX_EXECUTION_TIME(250) */ 1": {text: "SELECT 1", limit: 250 * time.Millisecond},
		"/* gotimeout run=7 */ select /*+ max_execution_time( 1 ) */ 1":     {text: "select 1", run: "7", limit: time.Millisecond},
		"/*+ MAX_EXECUTION_TIME(250) */ SELECT 1":                           {text: "SELECT 1"},
		"SELECT 1 /*+ MAX_EXECUTION_TIME(250) */":                           {text: "SELECT 1"},
		"SELECT /*+ MAX_EXECUTION_TIME(soon) */ 1":                          {text: "SELECT 1"},
		"SELECT /* MAX_EXECUTION_TIME(250) */ 1":                            {text: "SELECT 1"},
		"SELECT /* gotimeout run=7 */ /*+ MAX_EXECUTION_TIME(250) */ 1 /**": {text: "SELECT 1", run: "7", limit: 250 * time.Millisecond},
	} {
		var got parsed
		got.text, got.run, got.limit = dbbackend.ParseStatement(sql)
		if got != want {
			t.Errorf("%q: %+v, want %+v", sql, got, want)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	f.Add("/* gotimeout run=7 */ SELECT /*+ MAX_EXECUTION_TIME(250) */ SLEEP(1) -- 'x'\n;")
	f.Fuzz(func(t *testing.T, sql string) {
		text, run, _ := dbbackend.ParseStatement(sql)
		if len(text) > len(sql)+1 || strings.ContainsAny(run, " \n*") {
			t.Errorf("%q: text %q, run %q", sql, text, run)
		}
	})
}

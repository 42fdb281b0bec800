package cli

import (
	"fmt"
	"strings"
)

// actor describes the CI run that the environment tells of, for the history; "" outside of CI. The
// variables are those that each service documents.
func (a *app) actor() string {
	env := func(name string) string {
		value := a.variable(name)
		return strings.Join(strings.Fields(value), " ")
	}
	switch {
	case env("GITHUB_ACTIONS") == "true":
		page := ""
		if server, repo, id := env("GITHUB_SERVER_URL"), env("GITHUB_REPOSITORY"), env("GITHUB_RUN_ID"); server != "" && repo != "" && id != "" {
			page = server + "/" + repo + "/actions/runs/" + id
		}
		return ciRun("GitHub Actions run", env("GITHUB_RUN_ID"), env("GITHUB_REPOSITORY"), env("GITHUB_ACTOR"), page)
	case env("GITLAB_CI") == "true":
		return ciRun("GitLab CI job", env("CI_JOB_ID"), env("CI_PROJECT_PATH"), env("GITLAB_USER_LOGIN"), env("CI_JOB_URL"))
	case env("BUILDKITE") == "true":
		return ciRun("Buildkite build", env("BUILDKITE_BUILD_NUMBER"), env("BUILDKITE_PIPELINE_SLUG"), env("BUILDKITE_BUILD_CREATOR"), env("BUILDKITE_BUILD_URL"))
	case env("CIRCLECI") == "true":
		repo := strings.Trim(env("CIRCLE_PROJECT_USERNAME")+"/"+env("CIRCLE_PROJECT_REPONAME"), "/")
		return ciRun("CircleCI build", env("CIRCLE_BUILD_NUM"), repo, env("CIRCLE_USERNAME"), env("CIRCLE_BUILD_URL"))
	case env("JENKINS_URL") != "":
		return ciRun("Jenkins build", env("BUILD_NUMBER"), env("JOB_NAME"), env("BUILD_USER_ID"), env("BUILD_URL"))
	}
	return ""
}

// ciRun formats a CI run: "GitHub Actions run 123 of org/repo by alice (https://…)". It leaves out
// what is not known.
func ciRun(what, id, of, by, page string) string {
	for _, part := range [][2]string{{" %s", id}, {" of %s", of}, {" by %s", by}, {" (%s)", page}} {
		if part[1] != "" {
			what += fmt.Sprintf(part[0], part[1])
		}
	}
	return what
}

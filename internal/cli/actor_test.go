package cli

import "testing"

func TestActorIsTheCIRun(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]map[string]string{
		"": {"CI": "true"},
		"GitHub Actions run 123 of org/repo by alice (https://github.com/org/repo/actions/runs/123)": {
			"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "123", "GITHUB_REPOSITORY": "org/repo", "GITHUB_ACTOR": "alice", "GITHUB_SERVER_URL": "https://github.com",
		},
		"GitLab CI job 7 of g/p by bob (https://gitlab.com/g/p/-/jobs/7)": {
			"GITLAB_CI": "true", "CI_JOB_ID": "7", "CI_PROJECT_PATH": "g/p", "GITLAB_USER_LOGIN": "bob", "CI_JOB_URL": "https://gitlab.com/g/p/-/jobs/7",
		},
		"Buildkite build 9 of deploy by Ann Lee (https://buildkite.com/o/deploy/builds/9)": {
			"BUILDKITE": "true", "BUILDKITE_BUILD_NUMBER": "9", "BUILDKITE_PIPELINE_SLUG": "deploy", "BUILDKITE_BUILD_CREATOR": "Ann\n Lee",
			"BUILDKITE_BUILD_URL": "https://buildkite.com/o/deploy/builds/9",
		},
		"CircleCI build 5 of org/repo by carol (https://circleci.com/gh/org/repo/5)": {
			"CIRCLECI": "true", "CIRCLE_BUILD_NUM": "5", "CIRCLE_PROJECT_USERNAME": "org", "CIRCLE_PROJECT_REPONAME": "repo", "CIRCLE_USERNAME": "carol",
			"CIRCLE_BUILD_URL": "https://circleci.com/gh/org/repo/5",
		},
		"Jenkins build 3 of deploy (https://ci/job/deploy/3/)": {"JENKINS_URL": "https://ci/", "BUILD_NUMBER": "3", "JOB_NAME": "deploy", "BUILD_URL": "https://ci/job/deploy/3/"},
		"GitHub Actions run": {"GITHUB_ACTIONS": "true"},
	} {
		a := &app{}
		a.LookupEnv = func(name string) (string, bool) { value, ok := env[name]; return value, ok }
		if got := a.actor(); got != want {
			t.Errorf("with %v, the actor is %q, want %q", env, got, want)
		}
	}
}

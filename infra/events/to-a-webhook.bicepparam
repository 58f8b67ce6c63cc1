// A webhook is told of every secret of the vault. Its address is a secret, so it comes from the environment.
using '../new-version-events.bicep'

param vaultName = 'contoso-pats'
param webhookUrl = readEnvironmentVariable('RESTART_HOOK_URL', 'https://restart.contoso.com/events')

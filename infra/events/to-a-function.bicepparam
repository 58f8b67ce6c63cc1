// One function is told of two secrets.
using '../new-version-events.bicep'

param vaultName = 'contoso-pats'
param secretNames = ['agents-linux-pat', 'release-pat']
param functionId = '/subscriptions/00000000-0000-4000-8000-00000000beef/resourceGroups/rg-consumers/providers/Microsoft.Web/sites/contoso-restarts/functions/restart'

#!/bin/sh
# Optional: the app registration of patrol's HTTP API, for HTTP_AUTH=entra, with its app roles. Prints the client id for
# the parameter authClientId.
#   sh infra/entra/api.sh [DISPLAY_NAME]                      register
#   sh infra/entra/api.sh [DISPLAY_NAME] assign PRINCIPAL ROLE  let a caller (object id of its service principal) in
# Needs `az login` as somebody who may register applications; to assign, one who may grant app roles.
set -eu

name=${1:-patrol API}
here=$(dirname "$0")

app=$(az ad app list --display-name "$name" --query "[0].appId" --output tsv)
if [ -z "$app" ]; then
  app=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
  az ad sp create --id "$app" --output none
fi
az ad app update --id "$app" --identifier-uris "api://$app" --app-roles "@$here/app-roles.json"
object=$(az ad app show --id "$app" --query id --output tsv)
az rest --method patch --url "https://graph.microsoft.com/v1.0/applications/$object" \
  --headers Content-Type=application/json --body '{"api": {"requestedAccessTokenVersion": 2}}' --output none
# Without an app role nobody of the tenant gets a token for it.
az ad sp update --id "$app" --set appRoleAssignmentRequired=true

if [ "${2:-}" = assign ]; then
  principal=${3:?name the object id of the caller\'s service principal} role=${4:?name the role, such as Pats.Rotate}
  resource=$(az ad sp show --id "$app" --query id --output tsv)
  id=$(az ad sp show --id "$app" --query "appRoles[?value=='$role'].id | [0]" --output tsv)
  [ -n "$id" ] || { echo "There is no app role $role." >&2; exit 1; }
  az rest --method post --url "https://graph.microsoft.com/v1.0/servicePrincipals/$resource/appRoleAssignedTo" \
    --headers Content-Type=application/json --output none \
    --body "{\"principalId\": \"$principal\", \"resourceId\": \"$resource\", \"appRoleId\": \"$id\"}"
  echo "$principal may call with $role."
fi
echo "authClientId: $app"

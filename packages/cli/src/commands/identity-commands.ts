/** The nouns about people, and what they can be asked. */
import { addAccountDisable } from './account-disable.ts';
import { addAccountGet } from './account-get.ts';
import { addAccountInvite } from './account-invite.ts';
import { addAccountList } from './account-list.ts';
import { addAccountPassword } from './account-password.ts';
import { addAccountRole } from './account-role.ts';
import { addInvitationAccept } from './invitation-accept.ts';
import { addInvitationDecline } from './invitation-decline.ts';
import { addInvitationList } from './invitation-list.ts';
import { addInvitationRevoke } from './invitation-revoke.ts';
import { addOrgCreate } from './org-create.ts';
import { addOrgGet } from './org-get.ts';
import { addOrgInvite } from './org-invite.ts';
import { addOrgLeave } from './org-leave.ts';
import { addOrgList } from './org-list.ts';
import { addOrgMembers } from './org-members.ts';
import { addOrgRemove } from './org-remove.ts';
import { addOrgRole } from './org-role.ts';
import { addServiceAccountCreate } from './service-account-create.ts';
import { addTeamCreate } from './team-create.ts';
import { addTeamList } from './team-list.ts';
import { addTeamMembers } from './team-members.ts';
import { addTeamRemove } from './team-remove.ts';
import { addTeamRole } from './team-role.ts';

export const identityNouns = [
  [
    'account',
    'accounts of people and programs',
    [addAccountInvite, addAccountList, addAccountGet, addAccountRole, addAccountPassword, addAccountDisable],
  ],
  [
    'org',
    'organisations',
    [addOrgCreate, addOrgList, addOrgGet, addOrgInvite, addOrgMembers, addOrgRole, addOrgRemove, addOrgLeave],
  ],
  ['team', 'teams of organisations', [addTeamCreate, addTeamList, addTeamMembers, addTeamRole, addTeamRemove]],
  [
    'invitation',
    'invitations to people',
    [addInvitationList, addInvitationAccept, addInvitationDecline, addInvitationRevoke],
  ],
  ['service-account', 'accounts for programs', [addServiceAccountCreate]],
] as const;
